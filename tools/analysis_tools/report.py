"""Write one page on several runs: what differs, how they trained, what they reached.

The page is one HTML file with all pictures in it, those in the work dirs too.
"""

from argparse import Namespace
from fnmatch import fnmatch
from pathlib import Path
from typing import Dict, List, Sequence

from mmdia.cli.comparison import comparison_parser, parse_comparison
from mmdia.cli.outputs import user_path
from mmdia.results.models import Model, read_models, read_sources
from mmdia.results.report import MIME, main_metrics, render


def parse_args() -> Namespace:
    """Read the command line."""
    parser = comparison_parser(__doc__)
    parser.add_argument(
        '--pictures', nargs='+', type=user_path, default=[], help='further pictures'
    )
    parser.add_argument('--title', default='Runs', help='title of the page (default Runs)')
    parser.add_argument(
        '--out', type=user_path, default=Path('report.html'), help='the page (default report.html)'
    )
    return parse_comparison(parser, ('out',))


def pictures_of(sources: Sequence[Path]) -> List[Path]:
    """The pictures in work dirs, such as those of the analysis tools."""
    return [
        file
        for source in sources
        if source.is_dir()
        for file in sorted(source.iterdir())
        if file.suffix in MIME
    ]


def main() -> None:
    """Read the runs and write the page."""
    args = parse_args()
    try:
        every = read_sources(args.sources)
        records = [record for record in every if fnmatch(record['run'], args.runs)]
        models: Dict[str, List[Model]] = {
            metric: read_models(every, metric, args.runs, args.baseline, args.best, args.image_size)
            for metric in ([args.metric] if args.metric else main_metrics(records))
        }
        if not models:
            raise ValueError(f'there is no record of --runs {args.runs!r}')
        page = render(models, [*pictures_of(args.sources), *args.pictures], args.title)
    except (OSError, ValueError) as error:
        raise SystemExit(str(error)) from error
    args.out.write_text(page, encoding='utf-8')
    print(f'wrote {args.out}')


if __name__ == '__main__':
    main()
