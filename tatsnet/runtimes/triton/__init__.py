"""Sections run by kernels of our own, written in Triton for NVIDIA GPUs: a pruned network moves as little as it can."""
