"""The sections of the report, one file each: the verdict, one for every stage, and the appendix."""
