"""The code on the pages: Python is run or says why not, and tools parse their command lines.

Commands are not run here, for they train or need data. The tests of the tools run them.
"""

import ast
import doctest
import importlib.util
import os
import re
import runpy
import shlex
import sys
from argparse import ArgumentParser
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config

from mmdia.models import ResNet
from mmdia.registry import MODELS
from mmdia.utils.configs import named_configs

from .test_docs import PAGES, ROOT, by_path, read

FENCED = re.compile(r'^```(\w*)\n(.*?)^```$', re.MULTILINE | re.DOTALL)
PROGRAMS = ('python', 'pip', 'make', 'mim', 'git', 'export', 'tools/', '.ci/')
INLINE = re.compile(r'(?<!`)`((?:python|pip|make|mim|git|tools/[\w/]+\.(?:sh|py)) [^`]+)`(?!`)')
PACKAGE = ROOT / 'mmdia'
# What scripts start, and the number of their own arguments before its options.
LAUNCHERS = {
    'tools/dist_train.sh': ('tools/train.py', 2),
    'tools/dist_test.sh': ('tools/test.py', 3),
    'tools/slurm_train.sh': ('tools/train.py', 4),
    'tools/slurm_test.sh': ('tools/test.py', 4),
}
CONFIG_NAME = re.compile(r'(?:mmdia://)?([a-z][\w-]*_(?:fpn_|b\d+|\d+xb\d+)[\w-]*)')


def name_of(path):
    return str(path.relative_to(ROOT))


def blocks(path, language):
    return [code for tag, code in FENCED.findall(read(path)) if tag == language]


PYTHON = [(name_of(path), code) for path in PAGES for code in blocks(path, 'python')]


def is_config(code):
    """Whether a block is a config that inherits another one."""
    return code.startswith('_base_')


def is_fragment(code):
    """Whether a block only names values, as a part of a config does."""
    statements = ast.parse(code).body
    return all(isinstance(each, ast.Assign) for each in statements) and '_base_' not in code


def is_script(code):
    return not (is_config(code) or code.startswith('>>>') or is_fragment(code))


# By page and first line.
SCRIPTS = {f'{page}: {code.splitlines()[0]}': code for page, code in PYTHON if is_script(code)}
# By page, the tests that run its scripts.
RUN_ELSEWHERE = {
    'README.md': 'test_apis/test_models.py',
    'docs/attach.md': 'test_docs.py',
    'docs/new_method.md': 'test_docs.py',
    'docs/new_parts.md': 'test_docs.py',
    'docs/other_libraries.md': 'test_other_libraries.py',
    'docs/running.md': 'test_engine/test_overrides.py',
}
NOT_RUN = {
    'README.md: import mmdia': 'downloads weights; docs/attach.md has the same calls',
    'docs/export.md: import numpy as np': 'tests/test_export.py runs files in the same way',
}


def write_image():
    image = np.random.default_rng(0).integers(0, 255, (32, 32, 3), np.uint8)
    cv2.imwrite('image.png', image)


def write_checkpoints():
    Path('work_dirs/run').mkdir(parents=True)
    for name in ('work_dirs/run/epoch_100.pth', 'from_a_friend.pth'):
        torch.save(dict(state_dict=dict(weight=torch.ones(2))), name)


def record_something():
    batches = [torch.rand(2, 3, 32, 32)]
    interaction = dict(type='mmdia.DIALSTM', ratio=4)
    return dict(torch=torch, model=ResNet(18, interaction, base_channels=8), batches=batches)


def gate_something():
    return dict(gate=torch.rand(2, 8))


# What the other scripts need, in the folder in which they run or as names.
RUN_HERE = {
    'docs/analysis.md: from mmdia.visualization import Recorder': record_something,
    'docs/analysis.md: from mmdia.models import record': gate_something,
    'docs/checkpoints.md: from mmdia.checkpoints import read_file, save_file': write_checkpoints,
    'docs/get_started.md: import mmdia': dict,
    'docs/get_started.md: from mmpretrain import ImageClassificationInferencer': write_image,
    'docs/results.md: from mmdia.apis import get_model': dict,
}


def test_every_script_is_run_or_says_why_not():
    left = SCRIPTS.keys() - RUN_HERE.keys() - NOT_RUN.keys()
    assert {script.partition(':')[0] for script in left} == RUN_ELSEWHERE.keys()
    assert RUN_HERE.keys() | NOT_RUN.keys() <= SCRIPTS.keys()
    for page, test in RUN_ELSEWHERE.items():
        assert Path(page).name in (ROOT / 'tests' / test).read_text(encoding='utf-8')


@pytest.mark.parametrize('script', RUN_HERE)
def test_scripts_run(script, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    exec(SCRIPTS[script], RUN_HERE[script]() or {})


@pytest.mark.parametrize('page', sorted({page for page, _ in PYTHON}))
def test_sessions_print_what_the_page_says(page):
    for number, code in enumerate(code for owner, code in PYTHON if owner == page):
        if code.startswith('>>>'):
            test = doctest.DocTestParser().get_doctest(code, {}, f'{page}-{number}', page, 0)
            flags = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS
            assert not doctest.DocTestRunner(optionflags=flags).run(test).failed


@pytest.mark.parametrize(('page', 'code'), [each for each in PYTHON if is_config(each[1])])
@pytest.mark.usefixtures('metafiles_are_read_once')
def test_configs_can_be_read(page, code, tmp_path):
    """With the other files of the page beside them."""
    library = re.match(r"_base_ = '(\w+)::", code)
    if library:
        pytest.importorskip(library[1])
    text = read(ROOT / page)
    for name, other in re.findall(r'`(\w+\.py)`:\n\n```python\n(.*?)^```$', text, re.M | re.S):
        (tmp_path / name).write_text(other)
    (tmp_path / 'config_of_the_page.py').write_text(code)
    cfg = Config.fromfile(tmp_path / 'config_of_the_page.py', import_custom_modules=False)
    backbone = cfg.model.backbone
    assert backbone.type.startswith('mmdia.')
    if 'custom_imports' not in cfg:
        with torch.device('meta'):
            MODELS.build(backbone)


@pytest.mark.parametrize(
    ('page', 'code'),
    [(page, code) for page, code in PYTHON if not code.startswith('>>>') and is_fragment(code)],
)
def test_parts_of_configs_can_be_built(page, code):
    scope = {}
    exec(code, scope)
    named = {name: value for name, value in scope.items() if not name.startswith('__')}
    assert named
    for name, value in named.items():
        value = value.get('backbone', value) if isinstance(value, dict) else value
        kind = value.get('type', '') if isinstance(value, dict) else ''
        with torch.device('meta'):
            if name.startswith('dla_'):
                ResNet(18, value)
            elif name in ('backbone', 'model'):
                assert kind.startswith('mmdia.')
                MODELS.build(value)


def command_lines(path):
    """The commands of a page: the lines of its blocks, and those in its sentences."""
    text = read(path)
    for code in blocks(path, 'bash'):
        yield from code.replace('\\\n', ' ').splitlines()
    yield from INLINE.findall(FENCED.sub('', text).replace('\n', ' '))


def words_of(line):
    """The words of a command, without its comment and the variables before it."""
    words = shlex.split(line, comments=True)
    while words and re.match(r'[A-Z_]+=', words[0]):
        del words[0]
    return words


class ParsedError(Exception):
    """A command line was understood; the tool goes no further."""


@pytest.fixture
def parse(monkeypatch):
    """Lets a tool parse its command line, which exits where that is wrong."""
    parse_args = ArgumentParser.parse_args
    known = set(sys.modules)

    def parse_and_stop(parser, args=None, namespace=None):
        result = parse_args(parser, args, namespace)
        if args is None:
            raise ParsedError
        return result

    def parse_line(tool, args):
        monkeypatch.setattr(ArgumentParser, 'parse_args', parse_and_stop)
        monkeypatch.setattr(sys, 'argv', [tool, *args])
        monkeypatch.syspath_prepend(str((ROOT / tool).parent))
        with pytest.raises(ParsedError):
            runpy.run_path(str(ROOT / tool), run_name='__main__')

    yield parse_line
    for name in sys.modules.keys() - known:  # neighbours of tools have names of no package
        file = getattr(sys.modules[name], '__file__', None) or ''
        if Path(file).is_relative_to(ROOT / 'tools'):
            del sys.modules[name]


def check_python(args, parse):
    if args[0] == '-c':
        compile(args[1], 'command line', 'exec')
    elif args[0] == '-m':
        assert importlib.util.find_spec(args[1]), args[1]
    else:
        assert (ROOT / args[0]).is_file(), args[0]
        parse(args[0], ['KEY=VALUE' if arg == 'OPTIONS' else arg for arg in args[1:]])


def check_make(args):
    text = (ROOT / 'Makefile').read_text(encoding='utf-8')
    for arg in args:
        name, is_variable, _ = arg.partition('=')
        assert re.search(rf'^{name} \?=' if is_variable else rf'^{name}:', text, re.M), arg


def check_pip(args):
    text = (ROOT / 'setup.py').read_text(encoding='utf-8')
    for extras in (extra for arg in args for extra in re.findall(r'\.\[(.*)\]', arg)):
        for extra in extras.split(','):
            assert f"'{extra}'" in text and (ROOT / 'requirements' / f'{extra}.txt').is_file()


def check_files(args):
    """Files of the repository and names of configs exist; words in capitals stand for others."""
    known = named_configs()
    for arg in args:
        place, file = re.match(r'(?:configs|docs|tests|tools)/', arg), Path(arg)
        if place and not any(re.fullmatch('[A-Z]{3,}', part) for part in (*file.parts, file.stem)):
            assert (ROOT / file).exists(), arg
        name = CONFIG_NAME.fullmatch(arg.removesuffix('.py'))
        assert not name or name[1] in known, arg


@by_path
def test_commands_are_understood(path, parse):
    for line in filter(None, map(words_of, command_lines(path))):
        program, *args = line
        if program == 'python':
            check_python(args, parse)
        elif program == 'make':
            check_make(args)
        elif program == 'pip':
            check_pip(args)
        elif program.endswith('.py'):  # named in a sentence, with one of its options
            assert args[0] in (ROOT / program).read_text(encoding='utf-8') or args[0] == '--amp'
        elif program in LAUNCHERS:
            tool, known = LAUNCHERS[program]
            assert len(args) >= known, line
            parse(tool, args[:1] + ['CHECKPOINT'] * tool.endswith('test.py') + args[known:])
        elif '/' in program:
            assert os.access(ROOT / program, os.X_OK), program
        else:
            assert program in ('export', 'git', 'mim'), line
        check_files(args)


@by_path
def test_blocks_with_commands_say_so(path):
    for tag, code in FENCED.findall(read(path)):
        assert tag == 'bash' or not code.startswith(PROGRAMS), code


def messages(path):
    """Patterns of the texts of a module that have values in them."""
    for node in ast.walk(ast.parse(read(path))):
        if isinstance(node, ast.JoinedStr):
            parts = [part.value if isinstance(part, ast.Constant) else None for part in node.values]
            if len(''.join(filter(None, parts))) > 20:
                text = ''.join('VALUE' if part is None else part for part in parts)
                yield re.escape(' '.join(text.split())).replace('VALUE', '.+')


def test_documented_messages_are_in_the_code():
    """Those that docs/faq.md quotes, with any values in them."""
    patterns = [pattern for path in sorted(PACKAGE.rglob('*.py')) for pattern in messages(path)]
    for message in blocks(ROOT / 'docs' / 'faq.md', 'text'):
        message = ' '.join(message.split())
        assert any(re.search(pattern, message) for pattern in patterns), message
