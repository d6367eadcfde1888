"""Why a compilation came out as it did, as text and as pictures.

`picture` is the kit of all pictures and `page` that of all pages; a file `draw_...` draws one kind of thing, and `minicc/__init__.py`
says which: `graph.picture()`, `program.picture()`, `schedule.picture()` find it, and a notebook shows it.
"""
