# Chest X-rays of Kermany et al.: data/chest_xray/{train,test}/{NORMAL,PNEUMONIA}/<name>.jpeg
_base_ = 'mini-imagenet_bs32.py'

data_preprocessor = dict(num_classes=2)
train_dataloader = dict(dataset=dict(data_root='data/chest_xray'))
val_dataloader = dict(dataset=dict(data_root='data/chest_xray', data_prefix='test'))
test_dataloader = val_dataloader
# The classes are not balanced: the recall of each is its accuracy.
val_evaluator = [
    dict(type='Accuracy', topk=1),
    dict(type='SingleLabelMetric', items=('precision', 'recall'), average=None),
]
test_evaluator = val_evaluator
