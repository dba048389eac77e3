"""How fast a connection may go on, and when it is sent away."""

from csn_rt.core.pace import COMMANDS, REFUSALS, RESUBSCRIBES, Pace, Verdict


def test_rule_1_a_burst_is_within_the_pace_and_one_more_is_refused():
    pace = Pace(0.0)

    verdicts = [pace.judge_command(0.0) for _ in range(COMMANDS.burst + 1)]

    assert verdicts == [Verdict.WITHIN] * COMMANDS.burst + [Verdict.REFUSED]


def test_rule_1_a_steady_client_is_never_refused():
    pace = Pace(0.0)

    verdicts = {pace.judge_command(n / COMMANDS.per_s) for n in range(3_000)}

    assert verdicts == {Verdict.WITHIN}


def test_rule_2_who_goes_on_after_many_refusals_floods():
    pace = Pace(0.0)
    for _ in range(COMMANDS.burst + REFUSALS.burst):
        pace.judge_command(0.0)

    assert pace.judge_command(0.0) is Verdict.FLOOD


def test_rule_2_twice_the_pace_is_a_flood_within_seconds():
    pace = Pace(0.0)

    verdicts = [pace.judge_command(n / (2 * COMMANDS.per_s)) for n in range(2_000)]

    assert verdicts[0] is Verdict.WITHIN
    assert Verdict.FLOOD in verdicts


def test_rule_3_a_few_resubscribes_are_borne_and_then_one_every_two_seconds():
    pace = Pace(0.0)

    assert [pace.may_resubscribe(0.0) for _ in range(6)] == [True] * RESUBSCRIBES.burst + [False]
    assert [pace.may_resubscribe(now) for now in (1.9, 2.0)] == [False, True]
