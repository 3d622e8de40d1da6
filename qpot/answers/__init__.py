"""One front door: what selects, how surely, when, and by what evidence.

- `answer`: Answer: one shape for everything that selects: noise, one minimum alone, fitted samples, and infinity.
- `at_infinity`: Losses that fall for ever: separable data, whose minimum at infinity is a direction with a margin.
- `competitors`: Margins of several competing classes: the vectors that bound them, for a model with linear scores.
- `file_fields`: What files hold of the results of this wing, field by field.
- `front_door`: select: any problem is handed over to what answers it.
- `margins_of_losses`: The margins of a homogeneous model read from the losses of its samples, and their flow to infinity.
"""

from qpot.answers.answer import Answer
from qpot.answers.front_door import select

__all__ = ["Answer", "select"]
