"""What `archcalc.torch` offers."""

from archcalc.dialects.torch import module
from archcalc.dialects.torch_maps import FeatureMaps, feature_maps
from archcalc.dialects.torch_network import Network, build
from archcalc.dialects.torch_read import read
from archcalc.dialects.torch_weights import carry

__all__ = ["FeatureMaps", "Network", "build", "carry", "feature_maps", "module", "read"]
