"""CIFAR-10 and 72 variants of ResNet-18, as in doi:10.1109/ACCESS.2025.3578926."""
