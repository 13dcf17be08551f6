"Settings of the site: `sphinx-build nbs out/site`, or `make run`, which also executes the notebooks."
import inspect

from docutils.nodes import SkipNode

from asdvideo import __version__, book
from asdvideo.settings import Settings

project, author, copyright = 'asdvideo', 'The asdvideo founders', '2026 onwards, the asdvideo founders'
version = release = __version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.apidoc', 'sphinx_external_toc']
external_toc_path = '_toc.yml'
folders = ['modules', 'asdvideo', 'asdvideo.lab', 'asdvideo.verify', 'asdvideo.wan']
exclude_patterns = ['.ipynb_checkpoints', '_proc', '_docs', *(f'api/{name}.rst' for name in folders)]

nb_execution_mode = 'off'               # `make run` says: force
nb_execution_timeout = 600
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_merge_streams = True
myst_enable_extensions = ['dollarmath', 'amsmath', 'colon_fence']
myst_heading_anchors = 3
suppress_warnings = ['myst.header', 'myst.xref_missing', 'mystnb.unknown_mime_type']

apidoc_modules = [{
    'path': '../asdvideo', 'destination': 'api', 'separate_modules': True, 'include_private': False, 'max_depth': 1,
    'exclude_patterns': ['../asdvideo/_modidx.py', '../asdvideo/data'],
}]
autodoc_default_options = {'members': True, 'undoc-members': True, 'show-inheritance': True}
autodoc_member_order = 'bysource'
autodoc_typehints = 'signature'
add_module_names = False
default_role = 'py:obj'

html_theme = 'sphinx_book_theme'
html_title = 'asdvideo'
html_show_search_summary = False        # a summary would be fetched, which a page from disk may not do
html_show_sphinx = False
html_math_renderer = 'mathml'
html_static_path = ['_static']
html_css_files = ['book.css']
html_context = {'default_mode': 'auto'}
html_theme_options = {
    'navbar_persistent': [], 'show_navbar_depth': 1, 'home_page_in_toc': True, 'use_download_button': True,
    'use_fullscreen_button': False,
    'show_toc_level': 2, 'pygments_light_style': 'default', 'pygments_dark_style': 'monokai',
}


def read_source(app, docname, source):
    "Before a notebook is read: leave out what is for nbdev."
    if source[0].lstrip().startswith('{') and '"nbformat"' in source[0]:
        source[0] = book.page(source[0])


def read_docstring(app, what, name, obj, options, lines):
    "Before a docstring is read: write its parameters as a table."
    target = obj.__init__ if inspect.isclass(obj) else obj
    try:
        names = [*inspect.signature(target).parameters]
    except (TypeError, ValueError):
        names = []
    if inspect.isclass(obj) and issubclass(obj, Settings) and '' in lines:
        del lines[lines.index(''):]         # the fields are written with their defaults instead
        lines.extend(book.settings_fields(obj))
    lines[:] = book.as_fields(lines, names)


def inline(self, node):
    "Draw an equation in a line."
    self.body.append(book.equation(node.astext()))
    raise SkipNode


def block(self, node):
    "Draw an equation on a line of its own."
    self.body.append(f'<div class="math">{book.equation(node.astext(), block=True)}</div>')
    raise SkipNode      # the text has been written


def setup(app):
    "Connect the functions above, and let notebooks be executed side by side."
    app.extensions['sphinx_multitoc_numbering'].parallel_read_safe = True   # it acts when all pages have been read
    app.add_html_math_renderer('mathml', (inline, None), (block, None))
    app.connect('source-read', read_source)
    app.connect('autodoc-process-docstring', read_docstring)
