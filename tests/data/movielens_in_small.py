"""MovieLens in a few rows."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

NO_GENRE = "|".join("0" * 19)
DRAMA = "|".join("0" * 8 + "1" + "0" * 10)  # the ninth of nineteen flags, where "unknown" is the first
HUNDRED_K = {
    "u.data": "196\t2\t3\t881250949\n22\t1\t1\t878887116\n196\t3\t5\t881250950\n",
    "u.item": f"1|Toy Story (1995)|01-Jan-1995||http://a|{NO_GENRE}\n"
    f"2|Misérables, Les (1995)|4-Feb-1995||http://b|{DRAMA}\n"
    f'3|Toy Story (1995)|||http://"c|{NO_GENRE}\n',
    "u.user": "22|24|M|technician|05201\n196|53|F|other|T8H1N\n",
}
ONE_M = {
    "ratings.dat": "1::11::5::978300760\n2::12::3::978302109\n",
    "users.dat": "1::F::1::10::48067\n2::M::56::16::70072-0\n",
    "movies.dat": "11::Léon: The::Professional (1994)::Crime|Drama\n12::Plain::Comedy\n",
}
CSV = {
    "ratings.csv": "userId,movieId,rating,timestamp\n1,11,0.5,1256677221\n",
    "movies.csv": 'movieId,title,genres\n11,"Quo ""Vadis"", Ü (1951)",(no genres listed)\n',
}


def write(folder: Path, files: Mapping[str, str], encoding: str = "latin-1") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text.encode(encoding))
    return folder
