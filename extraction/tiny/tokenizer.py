"""Word-level tokenizers and genuine LLaVA processors of the small models."""

from collections.abc import Sequence

from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import LlavaProcessor, PreTrainedTokenizerFast
from transformers.image_processing_utils import BaseImageProcessor

from extraction.model.prompts import QUESTION, TEMPLATES
from extraction.scenes import scene
from extraction.tiny.architecture import IMAGE_SIZE, IMAGE_TOKENS, PATCH_SIZE, SELECT_STRATEGY

PAD, BOS, EOS, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
SHAPES = ("circle", "rectangle", "triangle")
COLORS = ("black", "blue", "brown", "gray", "green", "red", "teal", "yellow")
_TEMPLATE_WORDS = ("USER", "ASSISTANT", ":", "?")
_EVERYWHERE = (PAD, BOS, EOS, UNKNOWN, IMAGE, *_TEMPLATE_WORDS)
_QUESTION_WORDS = ("a", "color", "contain", "does", "image", "in", "is", "no", "not", "of", "present", "shape")
_MORE_WORDS = ("the", "there", "what", "yes")
VOCABULARY = (*_EVERYWHERE, *_QUESTION_WORDS, *_MORE_WORDS, *SHAPES, *COLORS)
"""Of easy-VQA, whose questions are in lower case."""

_SCENE_WORDS = (
    *(",", "Is", "On", "What", "a", "and", "color", "common", "do", "either", "have", "in", "is", "kind", "left"),
    *("material", "no", "of", "on", "or", "photo", "right", "shape", "side", "that", "the", "there", "thing", "to"),
    *("which", "yes"),
)
SCENE_VOCABULARY = (*_EVERYWHERE, *_SCENE_WORDS, *scene.SHAPES, *scene.COLORS)
"""Of the generated scenes in the layout of GQA, whose questions begin with a capital letter."""

PROMPT = TEMPLATES["plain"]
_CHAT_TEMPLATE = (
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}USER: {% else %}ASSISTANT: {% endif %}"
    "{% if message['content'] is string %}{{ message['content'] + ' ' }}{% else %}"
    "{% for part in message['content'] if part['type'] == 'image' %}{{ '<image>\n' }}{% endfor %}"
    "{% for part in message['content'] if part['type'] == 'text' %}{{ part['text'] + ' ' }}{% endfor %}"
    "{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'ASSISTANT:' }}{% endif %}"
)
_MODEL_MAX_LENGTH = 64


def build_tokenizer(vocabulary: Sequence[str] = VOCABULARY) -> PreTrainedTokenizerFast:
    """Build a tokenizer: one token a word or mark, in the order of the vocabulary.

    White space separates and leaves no token. Words outside of the vocabulary, also those
    that differ in a capital letter, become "<unk>". Padding is on the left, as `generate` needs it.
    """
    words = Tokenizer(WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN))
    words.pre_tokenizer = Whitespace()
    words.post_processor = TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, vocabulary.index(BOS))])
    return PreTrainedTokenizerFast(
        tokenizer_object=words,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNKNOWN,
        extra_special_tokens={"image_token": IMAGE},
        padding_side="left",
        model_max_length=_MODEL_MAX_LENGTH,
        model_input_names=["input_ids", "attention_mask"],
    )


def build_processor(vocabulary: Sequence[str] = VOCABULARY) -> LlavaProcessor:
    """Build a processor; it works without torchvision."""
    return LlavaProcessor(
        image_processor=_image_processor(),
        tokenizer=build_tokenizer(vocabulary),
        patch_size=PATCH_SIZE,
        vision_feature_select_strategy=SELECT_STRATEGY,
        num_additional_image_tokens=1,  # the tower's class token, dropped by the select strategy
        image_token=IMAGE,
        chat_template=_CHAT_TEMPLATE,
    )


def expand_prompt(question: str) -> str:
    """Write the prompt as the processor does, with one "<image>" for every image token."""
    return PROMPT.replace(QUESTION, question).replace(IMAGE, IMAGE * IMAGE_TOKENS)


def _image_processor() -> BaseImageProcessor:
    try:
        from transformers import CLIPImageProcessorPil as ImageProcessor  # transformers 5
    except ImportError:
        from transformers import CLIPImageProcessor as ImageProcessor  # transformers 4
    size = {"height": IMAGE_SIZE, "width": IMAGE_SIZE}
    return ImageProcessor(size={"shortest_edge": IMAGE_SIZE}, crop_size=size)
