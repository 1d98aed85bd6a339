"""NVML as far as it is asked here, with cards of a test."""

from types import SimpleNamespace


class Card:
    def __init__(self, uuid: str, slices: list[str] | None = None) -> None:
        self.uuid, self.slices = uuid, slices


class Nvml(SimpleNamespace):
    """pynvml as far as the chooser asks it."""

    class NVMLError(Exception):
        pass

    def __init__(self, *cards: Card) -> None:
        super().__init__(cards=cards, open=0)

    def nvmlInit(self) -> None:  # noqa: N802
        self.open += 1

    def nvmlShutdown(self) -> None:  # noqa: N802
        self.open -= 1

    def nvmlDeviceGetCount(self) -> int:  # noqa: N802
        return len(self.cards)

    def nvmlDeviceGetHandleByIndex(self, index: int) -> Card:  # noqa: N802
        return self.cards[index]

    def nvmlDeviceGetUUID(self, card: Card) -> str:  # noqa: N802
        return card.uuid

    def nvmlDeviceGetName(self, card: Card) -> str:  # noqa: N802
        return f"name of {card.uuid}"

    def nvmlDeviceGetMigMode(self, card: Card) -> list[int]:  # noqa: N802
        if card.slices is None:
            raise self.NVMLError("not supported")
        return [int(bool(card.slices)), int(bool(card.slices))]

    def nvmlDeviceGetMaxMigDeviceCount(self, card: Card) -> int:  # noqa: N802
        return 7

    def nvmlDeviceGetMigDeviceHandleByIndex(self, card: Card, index: int) -> Card:  # noqa: N802
        # Slices are at any of the seven places.
        place = index - 2
        if not card.slices or not 0 <= place < len(card.slices):
            raise self.NVMLError("not found")
        return Card(card.slices[place])
