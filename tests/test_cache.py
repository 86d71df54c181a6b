"""Results of earlier runs are used for equal arguments only."""

from worlds import service

from nplconf.cache import Cache


def test_a_result_is_used_again_while_the_arguments_are_equal() -> None:
    calls = []

    def named(services: tuple[object, ...], suffix: str) -> list[str]:
        calls.append(suffix)
        return [f"{one}{suffix}" for one in services]

    cache = Cache(lasting=True)
    first = cache.last(named, (service(),), "a")
    assert cache.last(named, (service(),), "a") is first
    assert cache.last(named, (service(), service("b")), "a") is not first
    assert cache.last(named, (service(),), "b") == named((service(),), "b")
    assert calls == ["a", "a", "b", "b"]


def test_so_many_results_are_stored_as_the_caller_wants_those_that_were_used_last() -> None:
    calls: list[int] = []

    def noted(number: int) -> int:
        calls.append(number)
        return number

    cache = Cache(lasting=True)
    for number in (1, 2, 1, 3, 1, 2):
        assert cache.last(noted, number, results=2) == number
    assert calls == [1, 2, 3, 2]


def test_functions_do_not_share_results() -> None:
    cache = Cache(lasting=True)
    assert (cache.last(len, "ab"), cache.last(str.upper, "ab"), cache.last(len, "ab")) == (2, "AB", 2)


def test_a_table_is_empty_when_its_inputs_have_changed() -> None:
    cache = Cache(lasting=True)
    cache.table("of Pods", 1, "site", (1, 2))["a"] = 1
    assert cache.table("of Pods", 1, "site", (1, 2)) == {"a": 1}
    assert cache.table("of Services", 1, "site", (1, 2)) == {}
    assert cache.table("of Pods", 1, "site", (1, 3)) == {}


def test_a_table_is_emptied_before_objects_that_are_gone_fill_it() -> None:
    cache = Cache(lasting=True)
    most = 0
    for run in range(100):
        found = cache.table("of Pods", 5)
        found.update(dict.fromkeys(range(run, run + 5)))
        most = max(most, len(found))
    assert most <= 2 * 5 + 5


def test_a_cache_of_one_run_stores_its_last_results_but_no_table() -> None:
    cache = Cache()
    table = cache.table("of Pods", 1)
    table["a"] = 1
    assert table == cache.table("of Pods", 1) == {}
    made = cache.last(str.upper, "ab")
    assert cache.last(str.upper, "ab") is made


def test_a_result_is_made_from_an_earlier_one_where_the_caller_can() -> None:
    calls = []

    def total(numbers: tuple[int, ...]) -> int:
        calls.append(numbers)
        return sum(numbers)

    def longer(before: tuple[tuple[int, ...]], result: int, now: tuple[tuple[int, ...]]) -> int | None:
        shared = len(before[0])
        return result + sum(now[0][shared:]) if now[0][:shared] == before[0] else None

    cache = Cache()
    for numbers in ((1, 2), (1, 2, 3), (7, 8), (7, 8, 9), (1, 2, 4)):
        assert cache.last(total, numbers, results=2, adapt=longer) == sum(numbers)
    assert calls == [(1, 2), (7, 8), (1, 2, 4)]
