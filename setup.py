"""Package metadata, dependencies and the console scripts."""

from setuptools import find_packages, setup

CPU = ["openvino>=2025.0", "onnxruntime>=1.20", "onnx>=1.17"]
INT8 = ["nncf>=3.0"]
COMMANDS = ["convert", "plan_and_preprocess", "train", "predict", "evaluate", "compare", "export", "demo"]

setup(
    name="autoseg",
    version="0.1.0",
    description="A self-configuring engine for segmenting medical volumes",
    long_description="See README.md.",
    license="Apache-2.0",
    python_requires=">=3.11",
    packages=find_packages(
        include=[
            f"{name}{dots}" for name in ("autoseg", "planners", "trainers", "dataset_conversion") for dots in ("", ".*")
        ]
    ),
    install_requires=[
        "torch>=2.6",
        "batchgenerators>=0.25",
        "SimpleITK>=2.3",
        "nibabel>=5.2",
        "numpy>=1.26",
        "array-api-compat>=1.9",
        "scipy>=1.11",
        "scikit-learn>=1.3",
        "tqdm>=4.66",
        "safetensors>=0.4",
        "matplotlib>=3.8",
        "psutil>=5.9",
        "threadpoolctl>=3.1",
    ],
    extras_require={
        "cpu": CPU,
        "int8": [*CPU, *INT8],
        "test": [
            *CPU,
            *INT8,
            "pytest>=8",
            "pytest-timeout>=2.3",
            "pytest-xdist>=3.6",
            "ruff>=0.8",
            "mypy>=1.13",
            "surface-distance>=0.1",
            "monai>=1.4",
            "scikit-image>=0.22",
        ],
    },
    entry_points={"console_scripts": [f"autoseg_{name}=autoseg.cli.{name}:main" for name in COMMANDS]},
)
