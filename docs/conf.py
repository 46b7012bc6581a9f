"""The documentation site: these pages, those of the configs, and the API from docstrings.

Its sources lie in the whole repository, so that links between them, and to files, work on the
site as they do in the repository: ``sphinx-build -c docs . build/docs``.
"""

import re
from pathlib import Path
from typing import List, Optional

from docutils.nodes import Element
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.util.nodes import make_refnode

from mmdia import __version__

ROOT = Path(__file__).resolve().parents[1]

project = 'mmdia'
release = __version__
html_title = f'mmdia {release}'
html_theme = 'furo'
html_static_path = ['static']
html_css_files = ['style.css']
templates_path = ['templates']
html_additional_pages = {'index': 'redirect.html'}
html_show_copyright = False

extensions = ['myst_parser', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon', 'sphinx.ext.viewcode']
root_doc = 'docs/README'
include_patterns = ['*.md', 'docs/**', 'configs/*/README.md']
exclude_patterns = [
    path.name for path in ROOT.iterdir() if path.is_dir() and path.name not in ('docs', 'configs')
]
source_suffix = {'.md': 'markdown', '.rst': 'restructuredtext'}
myst_heading_anchors = 6
highlight_language = 'text'
smartquotes = False

add_module_names = False
autodoc_default_options = {'members': True, 'show-inheritance': True}
autodoc_typehints = 'none'  # docstrings have them
nitpicky = True
# Names of other libraries, short names of what is not public, and parts of this package that
# docstrings name and that have no page.
nitpick_ignore_regex = [
    ('py:.*', r'(?!mmdia\.).*'),
    ('py:.*', r'mmdia\.(results|models\.ops|models\.utils)\b.*'),
    ('py:class', r'mmdia\..*\.(BottleneckCell|NamedResNet|SENetwork)'),
]
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False


def add_navigation(app: Sphinx, docname: str, source: List[str]) -> None:
    """Make the index navigate: a group for each section, of the pages that its table links."""
    if docname != root_doc:
        return
    title, *sections = re.split(r'^## ', source[0], flags=re.MULTILINE)
    for number, section in enumerate(sections):
        links = re.findall(r'^\| \[([^]]+)\]\(([^)]+)\)', section, re.MULTILINE)
        pages = [f'{text} <{page}>' for text, page in links]
        caption = section.partition('\n')[0]
        lines = ['```{toctree}', ':hidden:', f':caption: {caption}', '', *pages, '```', '']
        sections[number] = f'## {section.rstrip()}\n\n' + '\n'.join(lines)
    source[0] = '\n'.join([title, *sections])


def lead_to_pages(app: Sphinx, docname: str, source: List[str]) -> None:
    """Lead links to folders to the README there, as hosts of code do."""
    page = Path(app.env.doc2path(docname))

    def link(match: re.Match) -> str:
        target = page.parent / match[1] / 'README.md'
        return f']({match[1]}/README.md)' if target.is_file() else match[0]

    source[0] = re.sub(r'\]\(([\w./-]+)\)', link, source[0])


def find_by_name(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, content: Element
) -> Optional[Element]:
    """Find what a docstring names in another module than the page, as ``mmdia.models.DIALSTM``."""
    if node.get('refdomain') != 'py':
        return None
    domain, name = env.get_domain('py'), node['reftarget'].rpartition('.')[2]
    found = domain.find_obj(env, '', '', name, node['reftype'], searchmode=1)
    places = {(entry.docname, entry.node_id) for _, entry in found}  # a class has several names
    if len(places) != 1:
        return None
    return make_refnode(app.builder, node['refdoc'], *places.pop(), content)


def setup(app: Sphinx) -> None:
    """Change sources as they are read, and find names."""
    app.connect('source-read', add_navigation)
    app.connect('source-read', lead_to_pages)
    app.connect('missing-reference', find_by_name)
