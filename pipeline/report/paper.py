"""The paper's own rows of Tables 1, 2 and 4, to stand beside ours, and under which conditions they hold."""

from __future__ import annotations

CONDITIONS = (
    "Rows of the paper: width 64, 32 blocks, 1e6 iterations of 64 patches on DIV2K, tested on the 68 whole photos of "
    "CBSD68, best of 27."
)

FLOPS = {"M = 1": "28.0 %", "M = 27": "4.0 %"}
"""Of TA+TSNet at 27 effects (Table 1) and at one (Table 3), shares of the dense network's."""

QUALITY = (
    ("dense (CResMD)", "25.86", "0.8195", "5.21", "0.3737"),
    ("TSNet", "25.76", "0.8184", "4.79", "0.3797"),
    ("TA+TSNet", "25.75", "0.8179", "4.51", "0.3548"),
    ("TSNet-m", "25.62", "0.8144", "4.86", "0.3830"),
    ("TA+TSNet-m", "25.64", "0.8137", "5.11", "0.3752"),
)
"""Table 2: PSNR in dB, SSIM, NIQE, LPIPS."""

TRIALS = (
    ("1", "5e-11", "1e-3", "18 %", "25.67", "18.6 %", "12.2 %"),
    ("2, 5", "5e-11", "1e-2", "62 %", "25.75", "28.0 %", "4.0 %"),
    ("3", "5e-11", "1e-1", "99 %", "25.48", "66.4 %", "2.5 %"),
    ("4", "5e-12", "1e-2", "99 %", "25.46", "81.8 %", "3.2 %"),
    ("6", "5e-10", "1e-2", "16 %", "25.50", "8.1 %", "1.0 %"),
)
"""Table 4, by example: lambda1, lambda2, shared layers, PSNR in dB, FLOPs at M = 1 and 27 as shares of dense."""
