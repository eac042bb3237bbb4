from dataclasses import dataclass


@dataclass(frozen=True)
class Budget:
    seconds: float | None = None
    examples: int | None = None

    @property
    def is_unlimited(self):
        return self.seconds is None and self.examples is None

    @property
    def size(self):
        return float(self.examples if self.examples is not None else self.seconds)
