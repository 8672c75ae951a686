"""`LICENCE.txt`: under which licence the packaged model stands, as the blueprint declares it."""

from __future__ import annotations

from collections.abc import Sequence

NOTICES = {
    "apache-2.0": (
        'Licensed under the Apache License, Version 2.0 (the "License"); you may not use this model except in compliance with\n'
        "the License. You may obtain a copy of the License at\n\n    https://www.apache.org/licenses/LICENSE-2.0\n\n"
        'Unless required by applicable law or agreed to in writing, it is distributed on an "AS IS" BASIS, WITHOUT WARRANTIES\n'
        "OR CONDITIONS OF ANY KIND, either express or implied. See the License for the specific language governing permissions\n"
        "and limitations under the License.\n"
    ),
    "mit": (
        'Permission is hereby granted, free of charge, to any person obtaining a copy of this model and associated files (the\n"Software"),'
        " to deal in the Software without restriction, including without limitation the rights to use, copy, modify,\nmerge, publish,"
        " distribute, sublicense, and/or sell copies of the Software, and to permit persons to whom the Software is\nfurnished to do so,"
        " subject to the following conditions:\n\nThe above copyright notice and this permission notice shall be included in all copies"
        ' or substantial portions of the\nSoftware.\n\nTHE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED,'
        " INCLUDING BUT NOT LIMITED TO THE\nWARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT"
        " SHALL THE AUTHORS OR\nCOPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT"
        " OR\nOTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.\n"
    ),
    "not declared": (
        "No licence was declared in the blueprint (package.licence). Until one is, nobody but its owner may use, copy or share it.\n"
    ),
}


def text(name: str, licence: str, pretrained: Sequence[str]) -> str:
    """The file's text; `pretrained` names the weights that training started from."""
    notice = NOTICES.get(
        licence.strip().lower(), f"This model is licensed under: {licence}. The full text is that of this licence.\n"
    )
    parts = [f"{name}\nLicence: {licence}\n", notice]
    if pretrained:
        parts.append(
            "Training started from these pretrained weights, whose licences hold for their part:\n"
            + "".join(f"  {each}\n" for each in pretrained)
        )
    parts.append(
        "The software in wheels/ and in requirements.txt stands under its own licences; Modelyard's is Apache-2.0.\n"
    )
    return "\n".join(parts)


def pretrained_of(options: Sequence[dict[str, object]]) -> list[str]:
    """Names of pretrained weights among the members' options."""
    return sorted({str(each["pretrained"]) for each in options if each.get("pretrained")})
