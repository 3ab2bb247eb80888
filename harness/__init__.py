"""Is this PyTorch training reproducible here; how far do runs part; what does each setting cost?"""

__version__ = "0.1.0"
