"""Ways of training, a menu: each is a short class that chooses parts and hands them to the one loop.

A trainer is a final class made with a Job, whose run() gives a TrainingResult and whose trainings() says, by the name
of the stage, how many networks that takes at most. Others bring their own as "package.module:Class".
"""

TRAINERS = {
    "standard": "trainers.standard:StandardTrainer",
    "cascade": "trainers.cascade:CascadeTrainer",
    "two_stage": "trainers.two_stage:TwoStageTrainer",
    "channel_pruning": "trainers.channel_pruning:ChannelPruningTrainer",
    "threshold_pruning": "trainers.threshold_pruning:ThresholdPruningTrainer",
    "quantization": "trainers.quantization:QuantizationTrainer",
    "int8": "trainers.int8:Int8Trainer",
    "compress": "trainers.compress:CompressTrainer",
}

COMPRESSING = ("channel_pruning", "threshold_pruning", "quantization", "int8", "compress")
"""Those that make a finished model smaller, and take the options of compression."""
