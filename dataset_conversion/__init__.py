"""One converter per source of data; each writes a raw dataset in nnU-Net v2's layout.

A converter is a class with these methods; what is heavy is imported inside them, so that --help answers at once:

    summary: str                                          one line for --help
    needs_source: bool                                    False where the data is made, not read
    add_arguments(parser) -> None                         its own options
    dataset_name(source, options) -> str                  the Name of DatasetNNN_Name where the user gives none
    convert(source, folder, options, progress) -> None    write the dataset into folder

Whoever brings their own gives autoseg_convert a "package.module:Class" in place of a name.
"""

CONVERTERS = {
    "msd": "dataset_conversion.msd:MsdConverter",
    "organ_masks": "dataset_conversion.organ_masks:OrganMasksConverter",
    "phantom": "dataset_conversion.phantom:PhantomConverter",
}
