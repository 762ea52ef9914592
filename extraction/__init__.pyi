"""The public names of extraction, each with its home: the only list of them."""

from .api import extract as extract
from .api import extract_decision as extract_decision
from .api import extract_with_knockouts as extract_with_knockouts
from .datasets.sample import Sample as Sample
from .model.families import register_family as register_family
from .model.family import Family as Family
from .model.load import load_model as load_model
from .passes.boxes import image_boxes as image_boxes
from .passes.control import random_controls as random_controls
from .passes.edges import Knockout as Knockout
from .passes.replacement import image_replacement as image_replacement
from .run.fill import RunOptions as RunOptions
