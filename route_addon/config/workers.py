"""The processes among which the work of one router is shared."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Worker:
    """Which of them this process is."""

    index: int = 0
    """Below ``count``. One that takes the place of another has the other's."""
    count: int = 1
    folder: str = ""
    """A private folder that all of them share, and that ends with the run; empty where one is
    alone."""

    @property
    def speaks(self) -> bool:
        """Whether it says what all of them would say alike."""
        return self.index == 0

    def share(self, total: int) -> int:
        """This process's part of what all of them may have together; 0 is no bound."""
        return -(-total // self.count)


ALONE = Worker()
