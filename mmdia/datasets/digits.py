"""Handwritten digits, as scikit-learn ships them."""

from typing import List

import cv2
import numpy as np
from mmpretrain.datasets import BaseDataset

from mmdia.registry import DATASETS
from mmdia.utils import check_choice


@DATASETS.register_module()
class DigitsDataset(BaseDataset):
    """The handwritten digits of scikit-learn, enlarged to 32x32 pixels.

    They come with scikit-learn and need no download. The 1797 gray images of
    8x8 pixels are split, with the classes balanced and always in the same way,
    into 1437 for training and 360 for testing.

    The images are in memory: a pipeline needs no ``LoadImageFromFile``. ``img``
    is an array of shape (32, 32, 3), dtype uint8, with equal channels.

    Args:
        split (str): The part of the dataset, ``'train'`` or ``'test'``.
            Defaults to ``'train'``.
        **kwargs: Other arguments of :class:`mmpretrain.datasets.BaseDataset`,
            such as ``pipeline``, ``indices`` and ``test_mode``.

    Raises:
        TypeError: If ``split`` is not a string.
        ValueError: If ``split`` is neither of the two.
        ImportError: If scikit-learn is not installed; when the data is loaded.
    """

    METAINFO = {'classes': tuple('0123456789')}
    SPLITS = ('train', 'test')
    TEST_IMAGES = 360

    def __init__(self, split: str = 'train', **kwargs):
        check_choice('split', split, self.SPLITS)
        self.split = split
        super().__init__(ann_file='', **kwargs)

    def load_data_list(self) -> List[dict]:
        """Load the images and labels of the split."""
        try:
            from sklearn.datasets import load_digits
            from sklearn.model_selection import train_test_split
        except ImportError as error:
            raise ImportError(
                'DigitsDataset takes its images from scikit-learn: pip install scikit-learn'
            ) from error
        digits = load_digits()
        images, labels = digits.images, digits.target
        parts = train_test_split(
            np.arange(len(labels)), test_size=self.TEST_IMAGES, random_state=0, stratify=labels
        )
        indices = parts[self.SPLITS.index(self.split)]
        return [{'img': self._enlarge(images[i]), 'gt_label': int(labels[i])} for i in indices]

    @staticmethod
    def _enlarge(image: np.ndarray) -> np.ndarray:
        """Turn (8, 8) floats from 0 to 16 into (32, 32, 3) uint8."""
        image = (image * (255 / 16)).round().astype(np.uint8)
        image = cv2.resize(image, (32, 32), interpolation=cv2.INTER_LINEAR)
        return cv2.cvtColor(image, cv2.COLOR_GRAY2BGR)
