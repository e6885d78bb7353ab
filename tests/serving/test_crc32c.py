"""CRC-32C, by the vectors of RFC 3720 and of tsl/lib/hash/crc32c_test.cc."""

import random

import pytest

from serving.crc32c import masked_crc32c


def crc32c(data):
    """The checksum without its mask."""
    rotated = masked_crc32c(data) - 0xA282EAD8 & 0xFFFFFFFF
    return (rotated >> 17 | rotated << 15) & 0xFFFFFFFF


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"", 0),
        (b"a", 0xC1D04330),
        (b"123456789", 0xE3069283),
        (bytes(32), 0x8A9136AA),
        (b"\xff" * 32, 0x62A8AB43),
        (bytes(range(32)), 0x46DD794E),
        (bytes(range(31, -1, -1)), 0x113FDB5C),
        (
            bytes.fromhex(
                "01c00000 00000000 00000000 00000000 14000000 00000400 00000014 00000018"
                "28000000 00000000 02000000 00000000"
            ),
            0xD9963A56,
        ),
    ],
)
def test_known_checksums(data, wanted):
    assert crc32c(data) == wanted


def test_the_mask_rotates_and_adds():
    assert masked_crc32c(b"") == 0xA282EAD8
    assert masked_crc32c(b"123456789") == ((0xE3069283 >> 15 | 0xE3069283 << 17) + 0xA282EAD8) & 0xFFFFFFFF


def test_every_single_bit_counts():
    data = bytearray(random.Random(3).randbytes(40))
    sums = {masked_crc32c(bytes(data))}
    for bit in range(len(data) * 8):
        data[bit // 8] ^= 1 << bit % 8
        sums.add(masked_crc32c(bytes(data)))
        data[bit // 8] ^= 1 << bit % 8
    assert len(sums) == len(data) * 8 + 1
    assert all(0 <= one < 2**32 for one in sums)
