"""Reading uploads: from files that people send to columns that trainers read.

`reader` runs in a child process, `bounded` in memory and time: only it opens what
people sent. `child` starts it and waits. All that it leaves lies in one folder:

    order.json    what to read and how (`order.Order`)
    files/        the upload, one file per part, under names of our own
    answer.json   what came of it (`order.Answer`)
    dataset/      the finished data set: dataset.json, preview.json, columns/

To add a format, write a module with a ``read(upload, draft)`` that fills the draft, and
name it in `formats.py` and what tells it apart in `sniff.py`.
"""
