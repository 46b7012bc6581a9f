"""Sort the images of mini-ImageNet into a tree for training and validation.

SOURCE has the images in SOURCE/images, and the lists of the split for few-shot
learning, train.csv, val.csv and test.csv, of lines ``filename,label``, with
whole classes in each. Writes TARGET/{train,val}/<label>/<filename>: of each of
the 100 classes the first 500 images for training and the other 100 for
validation, in the order of the lists.
"""

import csv
import shutil
from pathlib import Path
from typing import Dict, List

from trees import new_tree, run

LISTS = ('train.csv', 'val.csv', 'test.csv')
CLASSES = 100
TRAINING, VALIDATION = 500, 100  # images a class


def read_lists(source: Path) -> Dict[str, List[str]]:
    """Read the names of the images of each class."""
    images = {}
    for name in LISTS:
        path = source / name
        with path.open(newline='', encoding='utf-8') as file:
            reader = csv.reader(file)
            if next(reader, None) != ['filename', 'label']:
                raise ValueError(f"{path} must begin with the line 'filename,label'")
            for row in reader:
                if len(row) != 2 or any(Path(cell).name != cell for cell in row):
                    raise ValueError(f'{path}, line {reader.line_num}: no name and label: {row}')
                images.setdefault(row[1], []).append(row[0])
    wrong = {
        label: len(names)
        for label, names in images.items()
        if len(set(names)) != TRAINING + VALIDATION or len(names) != len(set(names))
    }
    if len(images) != CLASSES or wrong:
        raise ValueError(
            f'{", ".join(LISTS)} of {source} must have {CLASSES} classes of '
            f'{TRAINING + VALIDATION} different images, but have {len(images)} classes'
            + (f', and {wrong} images' if wrong else '')
        )
    return images


def convert(source: Path, target: Path) -> None:
    """Check the lists, copy all images beside the target and put them in its place."""
    with new_tree(target) as tree:
        for label, names in read_lists(source).items():
            for split, part in (('train', names[:TRAINING]), ('val', names[TRAINING:])):
                (tree / split / label).mkdir(parents=True)
                for name in part:
                    shutil.copyfile(source / 'images' / name, tree / split / label / name)
    print(f'wrote {target.resolve()}: {TRAINING} and {VALIDATION} images of {CLASSES} classes')


if __name__ == '__main__':
    run(__doc__, 'folder of train.csv, val.csv, test.csv, images/', convert)
