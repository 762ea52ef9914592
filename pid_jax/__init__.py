"""Partial information decomposition of what sources tell about a target.

Names are loaded on first use, so that `pid_jax.store` can be used without JAX.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from pid_jax import forks as forks  # looks at forks from the first import on

if TYPE_CHECKING:
    from pid_jax.block_sums import stream_moments
    from pid_jax.coupling import OptimalCoupling, optimal_coupling
    from pid_jax.decompose import gaussian_pid
    from pid_jax.device_moments import sharded_moments
    from pid_jax.estimate import estimate_pid
    from pid_jax.fit import fit_flow
    from pid_jax.flow_fit import FlowFit
    from pid_jax.gaussian.information import Information, mutual_information
    from pid_jax.gaussian.joint import JointGaussian
    from pid_jax.gaussianizers import (
        Auto,
        Copula,
        Joint,
        Marginal,
        NoGaussianization,
        RealNVP,
        Separate,
        Shared,
        Standardize,
    )
    from pid_jax.inference.bootstrap import PIDBootstrap, bootstrap_pid
    from pid_jax.inference.comparison import PIDComparison, compare_pid
    from pid_jax.inference.permutation import PIDTest, permutation_test
    from pid_jax.inference.posterior import PIDPosterior, posterior_pid
    from pid_jax.inference.power import SampleSize, samples_needed
    from pid_jax.likelihoods import LKJ, NUTS, Conjugate, GaussianLikelihood, InverseWishart, StudentTLikelihood
    from pid_jax.metrics.add import add_metrics
    from pid_jax.moments import Moments
    from pid_jax.multiverse import Multiverse, run_multiverse
    from pid_jax.pid.atoms import PIDAtoms
    from pid_jax.pid.broja import pid_broja
    from pid_jax.pid.mmi import pid_mmi
    from pid_jax.pid.quantities import PIDQuantities
    from pid_jax.resampling import (
        Basic,
        BCa,
        Block,
        Calibrated,
        ConditionalIndependence,
        Independence,
        Pairs,
        Parametric,
        Percentile,
    )
    from pid_jax.result import PIDEstimate
    from pid_jax.spec import (
        BROJA,
        MMI,
        OAS,
        PCA,
        Exact,
        IndirectInference,
        LedoitWolf,
        NoCorrection,
        NoReduction,
        ParametricBootstrap,
        PIDSpec,
        Randomized,
        SampleCovariance,
    )
    from pid_jax.spectrum import UniqueSpectrum, unique_spectrum
    from pid_jax.status import Status
    from pid_jax.store import ActivationStore
    from pid_jax.store_blocks import StoreBlocks
    from pid_jax.stream import stream_pid
    from pid_jax.study.model import StudyModel
    from pid_jax.study.results import load_study, one_model, save_study
    from pid_jax.study.run import run_study
    from pid_jax.study.spec import StudySpec
    from pid_jax.targets import AnswerEmbedding, AnswerLogits, FinalNorm, LogitLens
    from pid_jax.union import UnionEstimate, gaussian_union

__version__ = "0.1.0"
__all__ = [
    "BROJA",
    "LKJ",
    "MMI",
    "NUTS",
    "OAS",
    "PCA",
    "ActivationStore",
    "AnswerEmbedding",
    "AnswerLogits",
    "Auto",
    "BCa",
    "Basic",
    "Block",
    "Calibrated",
    "ConditionalIndependence",
    "Conjugate",
    "Copula",
    "Exact",
    "FinalNorm",
    "FlowFit",
    "GaussianLikelihood",
    "Independence",
    "IndirectInference",
    "Information",
    "InverseWishart",
    "Joint",
    "JointGaussian",
    "LedoitWolf",
    "LogitLens",
    "Marginal",
    "Moments",
    "Multiverse",
    "NoCorrection",
    "NoGaussianization",
    "NoReduction",
    "OptimalCoupling",
    "PIDAtoms",
    "PIDBootstrap",
    "PIDComparison",
    "PIDEstimate",
    "PIDPosterior",
    "PIDQuantities",
    "PIDSpec",
    "PIDTest",
    "Pairs",
    "Parametric",
    "ParametricBootstrap",
    "Percentile",
    "Randomized",
    "RealNVP",
    "SampleCovariance",
    "SampleSize",
    "Separate",
    "Shared",
    "Standardize",
    "Status",
    "StoreBlocks",
    "StudentTLikelihood",
    "StudyModel",
    "StudySpec",
    "UnionEstimate",
    "UniqueSpectrum",
    "add_metrics",
    "bootstrap_pid",
    "compare_pid",
    "estimate_pid",
    "fit_flow",
    "gaussian_pid",
    "gaussian_union",
    "load_study",
    "mutual_information",
    "one_model",
    "optimal_coupling",
    "permutation_test",
    "pid_broja",
    "pid_mmi",
    "posterior_pid",
    "run_multiverse",
    "run_study",
    "samples_needed",
    "save_study",
    "sharded_moments",
    "stream_moments",
    "stream_pid",
    "unique_spectrum",
]

_HOME = {
    "coupling": ("OptimalCoupling", "optimal_coupling"),
    "decompose": ("gaussian_pid",),
    "estimate": ("estimate_pid",),
    "fit": ("fit_flow",),
    "flow_fit": ("FlowFit",),
    "gaussianizers": (
        "Auto",
        "Copula",
        "Joint",
        "Marginal",
        "NoGaussianization",
        "RealNVP",
        "Separate",
        "Shared",
        "Standardize",
    ),
    "gaussian.information": ("Information", "mutual_information"),
    "gaussian.joint": ("JointGaussian",),
    "pid.atoms": ("PIDAtoms",),
    "pid.broja": ("pid_broja",),
    "pid.mmi": ("pid_mmi",),
    "pid.quantities": ("PIDQuantities",),
    "inference.bootstrap": ("PIDBootstrap", "bootstrap_pid"),
    "inference.comparison": ("PIDComparison", "compare_pid"),
    "inference.permutation": ("PIDTest", "permutation_test"),
    "inference.posterior": ("PIDPosterior", "posterior_pid"),
    "inference.power": ("SampleSize", "samples_needed"),
    "likelihoods": ("LKJ", "NUTS", "Conjugate", "GaussianLikelihood", "InverseWishart", "StudentTLikelihood"),
    "resampling": (
        "Basic",
        "BCa",
        "Block",
        "Calibrated",
        "ConditionalIndependence",
        "Independence",
        "Pairs",
        "Parametric",
        "Percentile",
    ),
    "result": ("PIDEstimate",),
    "spec": (
        "BROJA",
        "MMI",
        "OAS",
        "PCA",
        "Exact",
        "IndirectInference",
        "LedoitWolf",
        "NoCorrection",
        "NoReduction",
        "PIDSpec",
        "ParametricBootstrap",
        "Randomized",
        "SampleCovariance",
    ),
    "spectrum": ("UniqueSpectrum", "unique_spectrum"),
    "moments": ("Moments",),
    "device_moments": ("sharded_moments",),
    "status": ("Status",),
    "store": ("ActivationStore",),
    "store_blocks": ("StoreBlocks",),
    "block_sums": ("stream_moments",),
    "stream": ("stream_pid",),
    "study.model": ("StudyModel",),
    "study.results": ("load_study", "one_model", "save_study"),
    "study.run": ("run_study",),
    "study.spec": ("StudySpec",),
    "union": ("UnionEstimate", "gaussian_union"),
    "metrics.add": ("add_metrics",),
    "multiverse": (
        "Multiverse",
        "run_multiverse",
    ),
    "targets": (
        "AnswerEmbedding",
        "AnswerLogits",
        "FinalNorm",
        "LogitLens",
    ),
}
_MODULE_OF = {name: module for module, names in _HOME.items() for name in names}


def __getattr__(name: str) -> Any:
    if name not in _MODULE_OF:
        raise AttributeError(f"module 'pid_jax' has no attribute {name!r}")
    return getattr(import_module(f"pid_jax.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
