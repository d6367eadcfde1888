"""Pictures in, boxes, labels and pictures out: what stands before and behind a network that sees.

`picture` reads and writes files, `preprocess` makes the array that a network takes, `decode` makes boxes of what
detectors give, `boxes` holds them and suppresses those that are the same thing, `draw` paints them, `labels` names
them; `detect` and `classify` are these in a row. `faces` finds faces, `crop` cuts turned regions out.
A picture is `uint8[height, width, 3]`, red first; boxes are in its pixels.

    picture = read_picture("dog.jpg")
    write_picture(Path("out.jpg"), draw(picture, [Annotation("dog 92%", (10.0, 20.0, 110.0, 220.0))]))
"""

from minicc.vision.boxes import Boxes as Boxes
from minicc.vision.boxes import suppress as suppress
from minicc.vision.draw import Annotation as Annotation
from minicc.vision.draw import draw as draw
from minicc.vision.labels import read_labels as read_labels
from minicc.vision.picture import read_picture as read_picture
from minicc.vision.picture import write_picture as write_picture
