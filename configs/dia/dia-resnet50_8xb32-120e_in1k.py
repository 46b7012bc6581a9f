# The schedule of the paper's appendix: as below, but 120 epochs.
_base_ = 'dia-resnet50_8xb32_in1k.py'

train_cfg = dict(max_epochs=120)
