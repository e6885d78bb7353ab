"""From training to a verified TensorFlow model: the stages, and the engine that runs any list of stages."""
