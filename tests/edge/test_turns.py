"""What one socket wants done, one after another."""

import asyncio

from csn_rt.core.effects import Call
from csn_rt.edge import turns as turns_module
from csn_rt.edge.turns import Turns


class Desk:
    """Does calls by their method: `quick`, `slow` (until told), `stubborn` (lets go when told), `broken`."""

    def __init__(self) -> None:
        self.log: list[str] = []
        self.may_end = asyncio.Event()
        self.tasks: list[asyncio.Task] = []
        self.turns = Turns(do=self.do, failed=lambda n: self.log.append(f"{n} failed"), start=self.start)
        self.count = 0

    def start(self, work) -> None:
        self.tasks.append(asyncio.create_task(work))

    def ask(self, *methods: str) -> list[bool]:
        answers = []
        for method in methods:
            self.count += 1
            answers.append(self.turns.put(None, Call(self.count, method, b"")))
        return answers

    async def do(self, _operation, call) -> None:
        self.log.append(f"{call.command_id} begins")
        if call.method == "broken":
            raise ZeroDivisionError
        if call.method in ("slow", "stubborn"):
            try:
                await self.may_end.wait()
            except asyncio.CancelledError:
                if call.method == "stubborn":
                    await self.may_end.wait()
                self.log.append(f"{call.command_id} lets go")
                raise
        else:
            await asyncio.sleep(0.01)
        self.log.append(f"{call.command_id} ends")

    async def is_done(self) -> None:
        async with asyncio.timeout(10):
            await asyncio.gather(*self.tasks)


async def test_rule_1_the_next_begins_when_the_one_before_it_has_ended():
    desk = Desk()
    desk.ask("quick", "quick", "quick")
    await desk.is_done()

    assert desk.log == [f"{n} {what}" for n in (1, 2, 3) for what in ("begins", "ends")]


async def test_who_comes_after_the_last_one_has_ended_is_done_too():
    desk = Desk()
    desk.ask("quick")
    await desk.is_done()
    desk.ask("quick")
    await desk.is_done()

    assert desk.log[-1] == "2 ends"


async def test_rule_2_what_takes_too_long_is_answered_and_given_up(monkeypatch):
    monkeypatch.setattr(turns_module, "ANSWER_S", 0.1)
    desk = Desk()
    desk.ask("slow")
    await desk.is_done()

    assert desk.log == ["1 begins", "1 failed", "1 lets go"]


async def test_rule_2_those_behind_one_that_does_not_let_go_are_answered_too(monkeypatch):
    monkeypatch.setattr(turns_module, "ANSWER_S", 0.1)
    desk = Desk()
    desk.ask("stubborn", "quick", "quick")
    async with asyncio.timeout(5):
        while "3 failed" not in desk.log:
            await asyncio.sleep(0.01)
    desk.may_end.set()
    await desk.is_done()

    assert desk.log == ["1 begins", "1 failed", "2 failed", "3 failed", "1 lets go"]


async def test_rule_3_a_failure_is_told_and_the_turns_go_on():
    desk = Desk()
    desk.ask("broken", "quick")
    await desk.is_done()

    assert desk.log == ["1 begins", "1 failed", "2 begins", "2 ends"]


async def test_too_many_are_refused():
    desk = Desk()
    answers = desk.ask(*["slow"] * (turns_module.MAX_WAITING + 1))
    desk.may_end.set()
    await desk.is_done()

    assert [True] * turns_module.MAX_WAITING + [False] == answers


async def test_what_waits_can_be_forgotten_and_what_has_begun_is_finished():
    desk = Desk()
    desk.ask("slow", "quick")
    await asyncio.sleep(0.01)
    desk.turns.clear()
    desk.may_end.set()
    await desk.is_done()

    assert desk.log == ["1 begins", "1 ends"]
