"""`python -m k8s.dashboards`: writes the dashboards that the chart carries."""

from k8s.dashboards import BOARDS, FOLDER, text_of

FOLDER.mkdir(exist_ok=True)
for board in BOARDS:
    (FOLDER / f"{board.name}.json").write_text(text_of(board), encoding="utf-8")
