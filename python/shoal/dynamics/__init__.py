"""Statistics of the dynamics: what recorded series, weights and activity say about how networks learnt.

Every function takes what ``shoal.train`` returned, or a part of it, and returns labelled arrays with the remaining
dimensions of the input. All networks are evaluated at once, in NumPy.

| question | function | needs |
|---|---|---|
| when is a level reached | `reach_time` | any series over ``time`` |
| how long is the plateau, how steep the fall | `plateau`, `steepest` | any series over ``time`` |
| is it a sigmoid | `sigmoid_fit` | any series over ``time`` |
| how strong is each mode | `strengths` | ``trajectory`` or ``weights`` |
| where do the first layer's rows point | `alignment` | ``trajectory`` or ``weights`` |
| how many directions does the first layer use | `effective_rank` | ``trajectory`` or ``weights`` |
| who died, and when | `deaths` | ``unit_active`` or ``pattern`` |
| how often did activation patterns change | `activation_patterns` | ``pattern`` |

Source: docs/dynamics.md.
"""

from __future__ import annotations

from shoal.dynamics.crossing import reach_time
from shoal.dynamics.sigmoid import sigmoid_fit
from shoal.dynamics.slope import plateau, steepest
from shoal.dynamics.units import activation_patterns, deaths
from shoal.dynamics.weights import alignment, effective_rank, strengths

__all__ = [
    "activation_patterns",
    "alignment",
    "deaths",
    "effective_rank",
    "plateau",
    "reach_time",
    "sigmoid_fit",
    "steepest",
    "strengths",
]
