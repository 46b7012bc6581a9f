"""Pictures of what a network does and how it was trained."""

from .curves import plot_runs
from .gates import plot_gates
from .grad_cam import BlockMaps, grad_cam, plot_grad_cam
from .gradients import Magnitudes, plot_gradients
from .integration import Integration, gini_importance, plot_integration
from .layers import LayerValues, plot_layer_curves, plot_layer_rows
from .recorder import Record, Recorder
from .scores import Scores, plot_scores, summarize_scores

__all__ = [
    'BlockMaps',
    'Integration',
    'LayerValues',
    'Magnitudes',
    'Record',
    'Recorder',
    'Scores',
    'gini_importance',
    'grad_cam',
    'plot_gates',
    'plot_grad_cam',
    'plot_gradients',
    'plot_integration',
    'plot_layer_curves',
    'plot_layer_rows',
    'plot_runs',
    'plot_scores',
    'summarize_scores',
]
