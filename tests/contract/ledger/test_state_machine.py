"""Any order of events keeps the guarantees: Hypothesis drives the real ledger and looks after each step.

Three workers, a broker that loses and doubles messages, a keeper, callers who cancel and repeat, and a
clock that jumps. At the end of each run the clock goes on, the keeper sweeps and the workers work until
nothing waits: what was accepted must be over then.
"""

import math
import os
import secrets
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contract.ledger.lease_terms import LeaseTerms
from contract.ledger.retry import RetryPolicy
from contract.ledger.transitions import (
    Claimed,
    Created,
    Full,
    Outcome,
    Report,
    claim,
    extend,
    finish,
    read_dead_list,
    release,
    replay,
    report,
    sweep,
)
from contract.prediction import Status
from contract.settings import Settings
from tests.support.ledger_harness import LedgerHarness

BATCH, MAX_QUEUE, MAX_ATTEMPTS, MOST_WAKEUPS = 3, 12, 3, 64
LEASE, LIMIT, RESULT_TTL, DEAD_TTL = 15.0, 40.0, 300.0, 900.0
WORKERS = st.sampled_from(["w1", "w2", "w3"])
ENDS = ("status", "output", "error", "error_code", "attempt", "completed_at", "worker")


@dataclass
class Record:
    """What the ledger has of one prediction, with its places in the indexes."""

    fields: dict[str, str]
    queued: float | None
    running: float | None
    deadline: float | None
    limit: float | None
    retained: float | None

    @property
    def status(self) -> Status:
        return Status(self.fields["status"])


class LedgerMachine(RuleBasedStateMachine):
    """What the test knows beside the ledger: messages out there, and what each worker believes it holds."""

    def __init__(self, redis_url: str) -> None:
        super().__init__()
        self.harness = LedgerHarness(
            Settings(redis_url=redis_url, prefix=f"m-{secrets.token_hex(6)}:")
        )
        self.messages: list[int] = []
        self.lost: set[int] = set()
        self.held: dict[str, list[Claimed]] = {"w1": [], "w2": [], "w3": []}
        self.stale: list[tuple[str, Claimed]] = []
        """Claims whose worker finished, gave up or died; somebody may still write in their name."""
        self.known: list[str] = []
        self.starts: Counter[str] = Counter()
        self.ends: dict[str, dict[str, str | None]] = {}
        self.gone: set[str] = set()
        self.handed_back: Counter[str] = Counter()
        self.returned: Counter[str] = Counter()
        """How often each prediction was handed back without a lost worker."""
        self.written = 0

    # --- the parts ---

    def terms(self, worker: str) -> LeaseTerms:
        return LeaseTerms(
            "m",
            worker,
            BATCH,
            lease_seconds=LEASE,
            timeout_seconds=LIMIT,
            retry=RetryPolicy(MAX_ATTEMPTS, DEAD_TTL),
        )

    def send_wakeups(self, wakeups: list[int]) -> None:
        """The caller sends what it was told to."""
        assert len(set(wakeups)) == len(wakeups)
        assert not set(wakeups) & {*self.messages, *self.lost}, "a wake-up number is used once"
        self.messages += wakeups

    def score(self, kind: str, name: str = "m") -> dict[str, float]:
        """A sorted set: members in order, with their scores."""
        rows = self.harness.redis.zrange(
            self.harness.ledger.key(kind, name), 0, -1, withscores=True
        )
        return {member.decode(): score for member, score in rows}

    def records(self) -> dict[str, Record]:
        """Everything that the ledger has of every prediction that was ever accepted."""
        indexes = [self.score("queued"), self.score("running")]
        indexes += [self.score(kind, "") for kind in ("deadlines", "limits", "retained")]
        pipe = self.harness.redis.pipeline()
        for id in self.known:
            pipe.hgetall(self.harness.ledger.key("prediction", id))
        raw = dict(zip(self.known, pipe.execute(), strict=True))
        return {
            id: Record(
                {name.decode(): value.decode() for name, value in fields.items()},
                *(index.get(id) for index in indexes),
            )
            for id, fields in raw.items()
            if fields
        }

    # --- callers ---

    @rule(
        count=st.integers(1, 5),
        credit=st.sampled_from([0.0, 0.0, 300.0, -300.0]),
        deadline=st.sampled_from([None, None, 10.0, 100.0]),
        keyed=st.booleans(),
    )
    def submit(self, count: int, credit: float, deadline: float | None, keyed: bool) -> None:
        waiting = len(self.score("queued"))
        predictions = []
        for n in range(len(self.known), len(self.known) + count):
            predictions.append(
                self.harness.new_prediction(
                    id=f"p{n}",
                    digest="d",
                    idempotency_key=f"k{n}" if keyed else None,
                    max_queue=MAX_QUEUE,
                    max_batch_size=BATCH,
                    credit_seconds=credit,
                    deadline_seconds=deadline,
                    result_ttl=RESULT_TTL,
                    watcher="gw",
                )
            )
        creation = self.harness.create(*predictions)
        for new, result in zip(predictions, creation.results, strict=True):
            if waiting < MAX_QUEUE:
                assert isinstance(result, Created)
                assert not result.repeated
                self.known.append(new.prediction.id)
                waiting += 1
            else:
                assert isinstance(result, Full)
                assert self.harness.record(new.prediction.id) == {}
        self.send_wakeups(creation.wakeups.get("m", []))
        self.harness.advance(0.001)

    @precondition(lambda self: set(self.known) - self.gone)
    @rule(data=st.data(), digest=st.sampled_from(["d", "e"]))
    def repeat(self, data: Any, digest: str) -> None:
        id = data.draw(st.sampled_from([id for id in self.known if id not in self.gone]))
        before = self.harness.record(id)
        again = self.harness.new_prediction(
            id=id, digest=digest, max_queue=MAX_QUEUE, max_batch_size=BATCH, watcher="gw"
        )
        again.prediction.digest = digest
        (result,) = self.harness.create(again).results
        expected = before[b"digest"] == digest.encode()
        assert isinstance(result, Created) is expected
        changed = {k for k, v in self.harness.record(id).items() if before.get(k) != v}
        assert changed <= {b"watchers"}

    @precondition(lambda self: self.known)
    @rule(data=st.data())
    def cancel(self, data: Any) -> None:
        id = data.draw(st.sampled_from(self.known))
        answer = self.harness.cancel(id)
        assert (answer is None) == (id in self.gone)
        assert answer is None or answer.status.terminal

    # --- the broker ---

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def lose_a_message(self, data: Any) -> None:
        wakeup = data.draw(st.sampled_from(self.messages))
        self.messages.remove(wakeup)
        self.lost.add(wakeup)

    @precondition(lambda self: self.messages)
    @rule(data=st.data())
    def double_a_message(self, data: Any) -> None:
        self.messages.append(data.draw(st.sampled_from(self.messages)))

    # --- workers ---

    @precondition(lambda self: self.messages)
    @rule(data=st.data(), worker=WORKERS)
    def take_a_message(self, data: Any, worker: str) -> None:
        self.work(worker, self.messages.pop(data.draw(st.integers(0, len(self.messages) - 1))))

    @rule(worker=WORKERS, wakeup=st.integers(0, 30), limit=st.integers(1, BATCH))
    def claim_by_any_number(self, worker: str, wakeup: int, limit: int) -> None:
        if wakeup in self.messages:
            self.messages.remove(wakeup)
        self.work(worker, wakeup, limit)

    def work(self, worker: str, wakeup: int, limit: int = BATCH) -> None:
        expected, late = self.next_batch(limit)
        answer = self.harness.run(claim(self.terms(worker), wakeup, limit))
        assert [c.id for c in answer.predictions] == expected, "in order, and suspects alone"
        for c in answer.predictions:
            self.starts[c.id] += 1
            assert c.attempt == self.starts[c.id]
            assert self.starts[c.id] <= self.returned[c.id] + MAX_ATTEMPTS
        for id in late:
            assert self.harness.get(id).error_code == "deadline_exceeded"
        self.held[worker] += answer.predictions
        self.send_wakeups(answer.wakeups)

    def next_batch(self, limit: int) -> tuple[list[str], list[str]]:
        """The ids that the next claim must take, and those whose deadline it finds passed."""
        records = self.records()
        taken: list[str] = []
        late: list[str] = []
        for id in self.score("queued"):
            if len(taken) == limit:
                break
            fields = records[id].fields
            suspect = fields.get("suspect") == "1"
            if "deadline" in fields and float(fields["deadline"]) <= self.harness.now:
                late.append(id)
            elif suspect and taken:
                break
            else:
                taken.append(id)
                if suspect:
                    break
        return taken, late

    def owned(self, c: Claimed) -> bool:
        """True if this claim still holds by the record."""
        fields = self.harness.record(c.id)
        return fields.get(b"status") == b"processing" and fields[b"attempt"] == b"%d" % c.attempt

    def waits_again(self, c: Claimed) -> bool:
        """True if this claim was given back and nobody has claimed it since: it may still be finished."""
        fields = self.harness.record(c.id)
        return fields.get(b"status") == b"starting" and fields[b"attempt"] == b"%d" % c.attempt

    @rule(worker=WORKERS)
    def extend(self, worker: str) -> None:
        held = self.held[worker]
        mine = [c for c in held if self.owned(c)]
        lost = self.harness.run(extend(self.terms(worker), [(c.id, c.attempt) for c in held]))
        assert lost == [c.id for c in held if c not in mine and not self.waits_again(c)]
        self.stale += [(worker, c) for c in held if c not in mine]
        self.held[worker] = mine

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), good=st.booleans())
    def finish(self, data: Any, good: bool) -> None:
        worker = data.draw(st.sampled_from([w for w, held in self.held.items() if held]))
        held = self.held[worker]
        some = held[: data.draw(st.integers(1, len(held)))]
        self.held[worker] = [c for c in held if c not in some]
        mine = [c.id for c in some if self.owned(c) or self.waits_again(c)]
        fenced = self.write(worker, some, good)
        # by count, as a worker may have lost one and claimed it again
        others = Counter(c.id for c in some) - Counter(mine)
        assert not Counter(fenced) - others, "who holds it may write"
        for id in mine:
            ended = self.harness.get(id)
            assert ended.status is (Status.SUCCEEDED if good else Status.FAILED)
            assert ended.output == (f'"{self.written}"' if good else None)
        self.stale += [(worker, c) for c in some]

    @precondition(lambda self: self.stale)
    @rule(data=st.data(), good=st.booleans())
    def write_in_a_stale_name(self, data: Any, good: bool) -> None:
        worker, c = data.draw(st.sampled_from(self.stale))
        before = self.harness.record(c.id)
        if self.owned(c):
            return
        if self.waits_again(c):
            assert self.write(worker, [c], good) == []
            return
        self.write(worker, [c], good)
        self.harness.run(report([Report(c.id, c.attempt, 0.5, "stale", [("output", "stale")])]))
        self.harness.run(release(self.terms(worker), [(c.id, c.attempt)], idle=False, suspect=True))
        assert self.harness.record(c.id) == before

    def write(self, worker: str, claimed: list[Claimed], good: bool) -> list[str]:
        self.written += 1
        how: dict[str, Any] = {"error": "no", "error_code": "model_error"}
        if good:
            how = {"output": f'"{self.written}"'.encode()}
        outcomes = [Outcome(c.id, c.attempt, **how) for c in claimed]
        idle = not self.held[worker]
        fenced = self.harness.run(finish(self.terms(worker), outcomes, idle=idle, seconds=1.0))
        assert not idle or worker not in self.score("busy"), "who has nothing is not busy"
        return fenced

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data(), suspect=st.booleans(), reason=st.sampled_from(["drain", "device_lost"]))
    def release(self, data: Any, suspect: bool, reason: str) -> None:
        worker = data.draw(st.sampled_from([w for w, held in self.held.items() if held]))
        held, self.held[worker] = self.held[worker], []
        attempts = [(c.id, c.attempt) for c in held]
        self.handed_back[reason] += sum(map(self.owned, held))
        lost = reason == "device_lost"
        self.returned.update(c.id for c in held if self.owned(c) and not lost)
        how: dict[str, Any] = {"idle": True, "suspect": suspect, "lost": lost, "reason": reason}
        released = self.harness.run(release(self.terms(worker), attempts, **how))
        self.send_wakeups(released.wakeups)
        self.stale += [(worker, c) for c in held]

    @rule(worker=WORKERS)
    def die(self, worker: str) -> None:
        """The process is gone, and another of the same name begins with empty hands."""
        self.stale += [(worker, c) for c in self.held[worker]]
        self.held[worker] = []

    @precondition(lambda self: any(self.held.values()))
    @rule(data=st.data())
    def report(self, data: Any) -> None:
        worker = data.draw(st.sampled_from([w for w, held in self.held.items() if held]))
        rows = [Report(c.id, c.attempt, 0.1, "log\n", [("output", "x")]) for c in self.held[worker]]
        self.harness.run(report(rows))

    # --- the keeper and the clock ---

    @rule(seconds=st.sampled_from([0.01, 1.0, 5.0, 14.9, 16.0, 45.0, 400.0]))
    def let_time_pass(self, seconds: float) -> None:
        self.harness.advance(seconds)

    @rule(seconds=st.sampled_from([2.0, 6.0, 45.0]))
    def be_away(self, seconds: float) -> None:
        """Nobody reaches the ledger."""
        self.harness.be_away(seconds)

    @property
    def reprieve(self) -> bool:
        """True for one lease after an outage."""
        till = self.harness.redis.hget(self.harness.ledger.key("heard", "m"), "till")
        return till is not None and float(till) > self.harness.now

    def is_lost_in_outage(self, record: Record) -> bool:
        """Its lease ran out in the last outage, and nobody renewed it after that."""
        heard = self.harness.redis.hgetall(self.harness.ledger.key("heard", "m"))
        if b"till" not in heard or record.running is None:
            return False
        return float(heard[b"from"]) < record.running < float(heard[b"till"])

    @rule(asked=st.booleans())
    def sweep(self, asked: bool) -> None:
        late = {id for id, end in self.score("running").items() if end <= self.harness.now}
        swept = self.harness.run(
            sweep(
                "m",
                max_batch_size=BATCH,
                retry=RetryPolicy(MAX_ATTEMPTS, DEAD_TTL),
                depth=len(self.messages) if asked else None,
                patience_seconds=2.0,
            )
        )
        records = self.records()
        if self.reprieve:
            late = {id for id in late if records[id].status is not Status.PROCESSING}
        assert swept.taken_back == len(late)
        for id in late:
            if records[id].status is Status.FAILED:
                assert self.starts[id] - self.returned[id] == MAX_ATTEMPTS
                assert records[id].fields["error_code"] == "worker_lost"
            else:
                assert records[id].status is Status.STARTING
                assert self.starts[id] - self.returned[id] < MAX_ATTEMPTS
        self.send_wakeups(swept.wakeups)

    @rule()
    def expire(self) -> None:
        limited = {
            id for id, end in self.score("limits", "").items() if end + 2 <= self.harness.now
        }
        self.harness.expire()
        records = self.records()
        self.returned.update(id for id in limited if records[id].status is Status.STARTING)
        for id, record in records.items():
            if not record.status.terminal:
                assert record.deadline is None or record.deadline > self.harness.now
            if not self.reprieve and id in limited and record.status is Status.PROCESSING:
                assert self.is_lost_in_outage(record), "the sweep gives it back"
        self.sweep(False)  # which wakes workers for the innocent of a batch that ran past its limit

    @rule()
    def prune(self) -> None:
        before = self.records()
        self.harness.prune()
        after = self.records()
        for id in before.keys() - after.keys():
            assert before[id].status.terminal
            assert before[id].retained <= self.harness.now
            ttl = DEAD_TTL if self.ends[id]["error_code"] == "worker_lost" else RESULT_TTL
            assert float(before[id].fields["completed_at"]) + ttl <= self.harness.now + 1e-3
            self.gone.add(id)

    @rule()
    def replay(self) -> None:
        on_list = self.harness.run(read_dead_list("m"))
        if not on_list:
            return
        fresh = f"p{len(self.known)}"
        record, wakeups = self.harness.run(replay(on_list[0].id, fresh, BATCH))
        assert record.replay_of == on_list[0].id
        self.known.append(fresh)
        self.send_wakeups(wakeups)

    # --- what must hold after each step ---

    @invariant()
    def the_guarantees_hold(self) -> None:
        records = self.records()
        assert records.keys() == set(self.known) - self.gone, "accepted means kept"
        busy, running, queued = (self.score(kind) for kind in ("busy", "running", "queued"))
        assert queued.keys() | running.keys() <= records.keys()
        for id, record in records.items():
            self.check_indexes(record)
            assert int(record.fields["attempt"]) == self.starts[id]
            assert int(record.fields.get("handed_back", 0)) == self.returned[id]
            if record.status.terminal:
                end = {name: record.fields.get(name) for name in ENDS}
                assert self.ends.setdefault(id, end) == end, "an outcome never changes"
            else:
                assert id not in self.ends
        for worker, held in self.held.items():
            leases = [running[c.id] for c in held if c.id in running and self.owned(c)]
            if leases and max(leases) > self.harness.now:
                assert busy.get(worker, 0) >= max(leases), "who computes is not to be killed"
        self.check_wakeups(len(queued))
        self.check_counts()

    def check_counts(self) -> None:
        """What was accepted, ended and handed back is counted once, also of those that are deleted."""
        expected = Counter({"accepted": len(self.known)})
        for end in self.ends.values():
            expected[f"finished:{end['status']}"] += 1
            if end["status"] == "failed":
                expected[f"failed:{end['error_code']}"] += 1
        expected.update({f"handed_back:{why}": n for why, n in self.handed_back.items()})
        counted = self.harness.redis.hgetall(self.harness.ledger.key("counts", "m"))
        assert {what.decode(): int(n) for what, n in counted.items()} == +expected

    @staticmethod
    def check_indexes(record: Record) -> None:
        waits = record.status is Status.STARTING
        runs = record.status is Status.PROCESSING
        over = record.status.terminal
        assert (record.queued is not None) is waits
        assert (record.running is not None) is runs
        assert (record.limit is not None) is runs
        assert (record.retained is not None) is over
        assert (record.deadline is not None) is ("deadline" in record.fields and not over)
        if waits:
            assert record.queued == pytest.approx(float(record.fields["score"]), abs=1e-5)
        if over:
            assert ("output" in record.fields) is (record.status is Status.SUCCEEDED)

    def check_wakeups(self, waiting: int) -> None:
        """What waits has a message out there, as far as the broker kept it."""
        wakeups = {int(wakeup) for wakeup in self.score("wakeups")}
        assert len(wakeups) >= min(math.ceil(waiting / BATCH), MOST_WAKEUPS)
        assert len(wakeups) <= math.ceil((MAX_QUEUE + 3 * len(self.known)) / BATCH)
        assert wakeups <= {*self.messages, *self.lost}, "a wake-up that nobody sent wakes nobody"

    # --- the end ---

    def teardown(self) -> None:
        try:
            self.drain()
        finally:
            self.harness.close()

    def drain(self) -> None:
        """Workers that do their work and a keeper that sweeps bring all that was accepted to its end."""
        for worker in self.held:
            self.die(worker)
        for _ in range(30):
            self.harness.advance(LEASE + 1)
            self.sweep(True)
            while self.messages:
                self.take(self.messages.pop())
            # After an outage the busy have a lease's time to say that they are there.
            lapsed = any(expiry <= self.harness.now for expiry in self.score("busy").values())
            if not (self.score("queued") or self.score("running") or lapsed):
                break
        self.the_guarantees_hold()
        for id, record in self.records().items():
            assert record.status.terminal, f"{id} was accepted and lost"
        for worker in self.held:
            assert worker not in self.score("busy") or self.harness.now < self.score("busy")[worker]

    def take(self, wakeup: int) -> None:
        self.work("w1", wakeup)
        if self.held["w1"]:
            done, self.held["w1"] = self.held["w1"], []
            assert self.write("w1", done, True) == []


def run_machine(redis_url: str, orders: int) -> None:
    run_state_machine_as_test(
        lambda: LedgerMachine(redis_url),
        settings=settings(
            max_examples=orders,
            stateful_step_count=40,
            deadline=None,
            derandomize="CI" in os.environ,  # there a change is judged, elsewhere we look for more
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
        ),
    )


@pytest.mark.slow
@pytest.mark.timeout(900)  # what breaks is made small first, which may take 300 s
def test_any_order_of_events_keeps_the_guarantees(
    redis_url: str, redis_program: Path | None
) -> None:
    run_machine(redis_url, 100 if redis_program is None else 25)


@pytest.mark.timeout(900)
def test_a_few_orders_of_events_keep_the_guarantees(redis_url: str) -> None:
    run_machine(redis_url, 8)
