"""Draw how large the gradients of the loss are at the outputs of stages, of several networks.

For the gradients at chosen epochs, name the checkpoints of these epochs.
"""

from argparse import ArgumentParser, Namespace
from typing import Dict, Optional, Sequence

from mmdia.cli.analysis import (
    Subject,
    add_data_arguments,
    add_model_arguments,
    add_out_argument,
    batches,
    check_arguments,
    read_subjects,
)
from mmdia.visualization import Recorder
from mmdia.visualization.gradients import Magnitudes, plot_gradients
from mmdia.visualization.style import save_figure


def parse_args(argv: Optional[Sequence[str]] = None) -> Namespace:
    """Read the command line."""
    parser = ArgumentParser(description=__doc__.splitlines()[0])
    add_model_arguments(parser)
    add_data_arguments(parser, 'train', 1024)
    add_out_argument(parser, 'gradients.png')
    args = parser.parse_args(argv)
    check_arguments(parser, args)
    return args


def measure(subject: Subject, args: Namespace) -> Dict[str, Magnitudes]:
    """The gradients at the output of each stage, in training mode."""
    model = subject.model.train()
    magnitudes: Dict[str, Magnitudes] = {}
    for data in batches(subject, args, training=True):
        with Recorder(model.backbone, ['gradient'], len(data['inputs'])) as recorder:
            loss, _ = model.parse_losses(model(**data, mode='loss'))
            loss.backward()
        model.zero_grad()
        if not recorder.records:
            raise SystemExit(f'{subject.label}: no block gets a gradient; is all of it frozen?')
        for stage, blocks in recorder.by_stage('gradient').items():
            magnitudes.setdefault(stage, Magnitudes()).add(blocks[-1].samples)
    return magnitudes


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Draw."""
    args = parse_args(argv)
    models = {subject.label: measure(subject, args) for subject in read_subjects(args)}
    header = ('model', 'stage', 'log10 from', 'log10 to', 'share per decade')
    table = []
    for label, stages in models.items():
        for stage, each in stages.items():
            print(
                f'{label}, {stage}: mean {each.mean:.3g}, standard deviation {each.deviation:.3g}, '
                f'{each.zeros / max(each.count, 1):.1%} zeros'
            )
            edges = each.EDGES.tolist()
            for row in zip(edges, edges[1:], each.density.tolist()):
                table.append((label, stage, *row))
    for path in save_figure(plot_gradients(models), args.out, header, table):
        print(path)


if __name__ == '__main__':
    main()
