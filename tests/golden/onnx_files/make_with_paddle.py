"""Made paddle_*.onnx beside this with paddle2onnx 2.1.0 and paddlepaddle 3.3.1, in an environment of their own."""

import paddle
from paddle import nn
from paddle.static import InputSpec


class Conv(nn.Layer):
    """Convolutions, one of them transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2D(3, 8, 3, stride=2, padding=1), nn.BatchNorm2D(8)
        self.up, self.head = nn.Conv2DTranspose(8, 4, 2, stride=2), nn.Linear(4, 5)

    def forward(self, image: paddle.Tensor) -> paddle.Tensor:
        """Scores, [batch, 5]."""
        x = self.up(nn.functional.hardswish(self.norm(self.conv(image))))
        return nn.functional.softmax(self.head(nn.functional.adaptive_avg_pool2d(x, 1).flatten(1)))


class Text(nn.Layer):
    """A bidirectional LSTM."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding, self.lstm = nn.Embedding(20, 8), nn.LSTM(8, 6, direction="bidirect")
        self.norm, self.head = nn.LayerNorm(12), nn.Linear(12, 3)

    def forward(self, tokens: paddle.Tensor) -> paddle.Tensor:
        """Scores, [batch, 7, 3]."""
        return self.head(self.norm(nn.functional.gelu(self.lstm(self.embedding(tokens))[0])))


if __name__ == "__main__":
    paddle.seed(0)
    for name, net, spec in (
        ("paddle_conv", Conv(), InputSpec([None, 3, None, None], "float32", name="image")),
        ("paddle_text", Text(), InputSpec([None, 7], "int64", name="tokens")),
    ):
        net.eval()
        paddle.onnx.export(net, name, input_spec=[spec], opset_version=14)
