"""How accurate an estimator's gradient is: the true gradient of an expected loss, and metrics.

```python
objective = Objective(model=model, loss=lambda batch: losses_of_examples(model, batch))
truths = [sampled_gradient(objective, batch, samples=1000) for batch in batches]
accuracy = measure(objective, batches, truths, estimator="zgr")
```
"""

from bnnkit.gradients.accuracy import Accuracy, Interval, measure
from bnnkit.gradients.enumeration import exact_gradient
from bnnkit.gradients.estimate import Candidate, estimate
from bnnkit.gradients.figure import draw_accuracies, draw_panels
from bnnkit.gradients.objective import Objective
from bnnkit.gradients.sampled import sampled_gradient
from bnnkit.gradients.true_gradient import TrueGradient

__all__ = [
    "Accuracy",
    "Candidate",
    "Interval",
    "Objective",
    "TrueGradient",
    "draw_accuracies",
    "draw_panels",
    "estimate",
    "exact_gradient",
    "measure",
    "sampled_gradient",
]
