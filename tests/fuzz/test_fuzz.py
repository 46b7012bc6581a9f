"""200 random networks; ``python -m tests.fuzz`` tries any number."""

import logging

import pytest

from .__main__ import main
from .cases import make_case
from .checks import Failure, check, refuse


@pytest.fixture(autouse=True)
def quiet():
    """Initialization logs every weight."""
    logging.disable(logging.INFO)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize('number', range(200))
def test_random_network(number):
    case = make_case(0, number)
    try:
        check(case)
    except Failure as failure:
        pytest.fail(f'{failure}\n{case}')


def test_cases_are_reproducible():
    cases = [make_case(3, number) for number in range(50)]
    assert cases == [make_case(3, number) for number in range(50)]
    assert cases != [make_case(4, number) for number in range(50)]


@pytest.mark.parametrize(
    ('error', 'reason'),
    (
        (RuntimeError('norm_cfg'), 'RuntimeError: norm_cfg'),
        (ValueError('something is wrong'), 'names none of'),
    ),
)
def test_unclear_errors_fail(error, reason):
    case = next(case for case in map(make_case, [0] * 99, range(99)) if case.wrong is None)
    with pytest.raises(Failure, match=reason):
        refuse(case, error)


def test_command(capsys, monkeypatch):
    assert main(['--cases', '2', '--seed', '5']) == 0
    assert 'seed 5: 2 cases' in capsys.readouterr().out

    def fail(case):
        raise Failure('it is wrong')

    monkeypatch.setattr('tests.fuzz.__main__.check', fail)
    assert main(['--cases', '1', '--first', '8']) == 1
    out = capsys.readouterr().out
    assert f'seed 0 case 8: it is wrong\n  {make_case(0, 8)}' in out and '1 failed' in out
