"""Sizes of axes, as they are typed."""

import pytest

from cli.axes import fixed_axes, tried_sizes
from contract.errors import UsageError


def test_fixed_axes_have_one_size_each():
    assert fixed_axes("batch=1, image:2=224,a:b=c=3") == {"batch": 1, "image:2": 224, "a:b=c": 3}


@pytest.mark.parametrize("text", ["", "batch", "batch=", "batch=x", "batch=0", "batch=-1", "=3", "a=1,,b=2"])
def test_another_form_of_fixed_axes_is_a_usage_error(text):
    with pytest.raises(UsageError, match="write AXIS=SIZE"):
        fixed_axes(text)


def test_an_axis_is_tried_with_several_sizes():
    assert tried_sizes("height=224,256") == ("height", [224, 256])


@pytest.mark.parametrize("text", ["height", "height=", "height=x"])
def test_another_form_of_sizes_is_a_usage_error(text):
    with pytest.raises(UsageError, match="write NAME=SIZE,SIZE"):
        tried_sizes(text)
