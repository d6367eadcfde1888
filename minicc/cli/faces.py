"""`minicc faces`: the faces in a picture, and points on them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from minicc.cli.options import DimOption, TargetOption, ThreadsOption, compile_model, messages, table_text
from minicc.errors import ConfigError, printable
from minicc.runtime.files import check_folder
from minicc.vision.draw import Annotation, draw
from minicc.vision.faces import Faces, face_region, find_faces, find_irises, find_mesh
from minicc.vision.picture import check_picture_name, read_picture, write_picture


class FaceFamily(StrEnum):
    """What the results of a detector mean."""

    blazeface = "blazeface"
    retinaface = "retinaface"


def faces_command(
    picture: Annotated[Path, typer.Argument(help="A picture: JPEG, PNG, WebP, ...", show_default=False)],
    detector: Annotated[Path, typer.Option(help="The model that finds faces.", show_default=False)],
    landmarks: Annotated[Path | None, typer.Option(help="A model that finds 468 points on a face.")] = None,
    irises: Annotated[Path | None, typer.Option(help="A model that finds irises, with --landmarks.")] = None,
    family: Annotated[FaceFamily, typer.Option(help="What the detector is.")] = FaceFamily.blazeface,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Draw what was found on this picture.")] = None,
    threshold: Annotated[float, typer.Option(help="The least score of a face.", min=0.0, max=1.0)] = 0.5,
    dim: DimOption = None,
    target: TargetOption = "native",
    threads: ThreadsOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print everything as JSON.")] = False,
) -> None:
    """Find the faces in a picture, print them, and draw them.

    A detector is BlazeFace of MediaPipe (front, back, short range, full range) or, with --family retinaface, RetinaFace of
    PyTorch with its three outputs.

    Examples:

        minicc faces group.jpg --detector face_detection_back.tflite -o found.jpg
        minicc faces me.jpg --detector face_detection_front.tflite --landmarks face_landmark.tflite --json
        minicc faces group.jpg --detector retinaface.onnx --family retinaface --dim height=640 --dim width=640
    """
    if irises is not None and landmarks is None:
        problem = "expected --landmarks, whose points say where the eyes are, got none"
        raise ConfigError(f"--irises {irises}", problem, hint="--landmarks face_landmark.tflite")
    if output is not None:
        check_picture_name(output)
        check_folder(output)
    image = read_picture(picture)
    faces = find_faces(compile_model(detector, dim, None, target, threads), image, family, threshold)
    networks = [
        None if path is None else compile_model(path, None, None, target, threads) for path in (landmarks, irises)
    ]
    found = [_described(faces, k, image, *networks) for k in range(len(faces))]
    if output is not None:
        write_picture(output, draw(image, [mark for face in found for mark in _marks(face)]))
        messages.print(f"wrote {printable(output)}")
    print(json.dumps({"faces": found}, indent=1) if as_json else _table(found))


def _described(faces: Faces, k: int, image: Any, landmarks: Any, irises: Any) -> dict[str, Any]:
    """A face: its score, its box and its points, in pixels; those of the mesh, if there is a face to that network, and of irises."""
    face = {
        "score": float(faces.boxes.scores[k]),
        "box": faces.boxes.corners[k].tolist(),
        "points": faces.points[k].tolist(),
    }
    if landmarks is not None:
        region = face_region(faces, k)
        mesh, sure = find_mesh(landmarks, image, region)
        face |= {"mesh_score": sure, "mesh": mesh.tolist()} if sure > 0.5 else {"mesh_score": sure}
        if irises is not None and sure > 0.5:
            face["irises"] = find_irises(irises, image, mesh, region.angle).tolist()
    return face


def _marks(face: dict[str, Any]) -> list[Annotation]:
    parts = [Annotation(points=face["mesh"], kind=2)] if "mesh" in face else [Annotation(points=face["points"], kind=5)]
    parts += [Annotation(points=iris, kind=5) for iris in face.get("irises", ())]
    left, top, right, bottom = face["box"]
    return [Annotation(f"face {face['score']:.0%}", (left, top, right, bottom), kind=1), *parts]


def _table(found: list[dict[str, Any]]) -> str:
    rows = []
    for face in found:
        left, top, right, bottom = face["box"]
        row: list[Any] = [f"{face['score']:.1%}", *(f"{v:.1f}" for v in (left, top, right - left, bottom - top))]
        row.append(" ".join(f"{x:.0f},{y:.0f}" for x, y in face["points"]))
        if "mesh_score" in face:
            row.append(f"{len(face.get('mesh', ()))}, sure {face['mesh_score']:.1%}")
        rows.append(row)
    count = f"{len(found)} face{'s' * (len(found) != 1)}"
    head = ["score", "left", "top", "width", "height", "points", "mesh"]
    return f"{table_text(rows, head[: len(rows[0])])}\n{count}" if found else count
