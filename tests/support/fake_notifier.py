"""A notifier in name only: it remembers which models were to be woken up."""


class FakeNotifier:
    """As strict as the real one: who uses it after its end gets an error."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[int]]] = []
        self.closed = False

    @property
    def wakeups(self) -> list[int]:
        """Those of all models, in order."""
        return [wakeup for _, wakeups in self.sent for wakeup in wakeups]

    def send_wakeups(self, model: str, wakeups: list[int]) -> None:
        assert not self.closed, "cannot schedule new futures after shutdown"
        if wakeups:
            self.sent.append((model, wakeups))

    def close(self, *, wait: bool) -> None:
        self.closed = wait
