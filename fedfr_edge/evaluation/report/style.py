"""The page's style sheet: light and dark from the same variables as the figures."""

from __future__ import annotations

from fedfr_edge.evaluation.report.canvas import COLOURS


def style_sheet() -> str:
    """CSS for the page; nothing is fetched from anywhere."""
    light = "".join(f"--{name}:{pair[0]};" for name, pair in COLOURS.items())
    dark = "".join(f"--{name}:{pair[1]};" for name, pair in COLOURS.items())
    return (
        f":root{{color-scheme:light dark;{light}--wash:#f3f5f7}}\n"
        f"@media (prefers-color-scheme:dark){{:root{{{dark}--wash:#20262d}}}}\n" + _RULES
    )


_RULES = """
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);
  font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif}
main{max-width:1080px;margin:0 auto;padding:2.2rem 1.25rem 4rem}
h1{font-size:1.9rem;line-height:1.2;margin:0 0 .4rem;letter-spacing:-.01em;overflow-wrap:anywhere}
h2{font-size:1.25rem;margin:2.6rem 0 .7rem;padding-top:1.1rem;border-top:1px solid var(--grid)}
h3{font-size:1rem;margin:1.8rem 0 .3rem}
p{margin:.5rem 0;max-width:75ch}
li{max-width:95ch}
a{color:inherit;text-decoration-color:var(--muted);text-underline-offset:.2em}
:focus-visible{outline:2px solid var(--series-0);outline-offset:2px}
sub{font-size:.72em;line-height:0}
nav{display:flex;flex-wrap:wrap;gap:.2rem 1.1rem;margin:1.2rem 0 0;font-size:.9rem}
.intro{font-size:1.06rem;color:var(--muted)}
dl.facts{display:flex;flex-wrap:wrap;gap:.5rem 2rem;margin:1.1rem 0 0}
dl.facts div{min-width:7rem}
dl.facts dt{font-size:.78rem;color:var(--muted)}
dl.facts dd{margin:0;font-variant-numeric:tabular-nums;overflow-wrap:anywhere}
.tiles{display:grid;grid-template-columns:repeat(auto-fit,minmax(150px,1fr));gap:.8rem;margin:1.3rem 0 .6rem}
.tile{background:var(--wash);border-radius:10px;padding:.8rem .9rem;border-left:5px solid var(--c)}
.tile b{display:block;font-size:2.1rem;line-height:1.15;font-variant-numeric:tabular-nums;font-weight:650}
.tile b small{font-size:1.05rem;font-weight:500}
.tile span{display:block;font-size:.88rem;color:var(--muted)}
.tile .who{color:var(--ink);font-weight:600;font-size:1rem;overflow-wrap:anywhere}
.scroll{overflow-x:auto}
table{border-collapse:collapse;width:100%;font-size:.92rem;font-variant-numeric:tabular-nums;margin-top:.6rem}
caption{text-align:left;font-weight:600;padding:.3rem .2rem .5rem}
th,td{padding:.42rem .55rem;text-align:right;border-bottom:1px solid var(--grid);white-space:nowrap}
thead th{font-weight:600;vertical-align:bottom;border-bottom:2px solid var(--muted)}
thead .groups th{text-align:center;border-bottom:1px solid var(--muted)}
thead .groups td{border:0}
tbody th{font-weight:400;white-space:normal;min-width:7rem}
th:first-child,td:first-child{text-align:left;padding-left:.2rem}
td small{color:var(--muted);font-size:.82em;font-weight:400}
td.best{font-weight:700}
td.weak{color:var(--muted)}
td abbr{color:var(--wrong);text-decoration:none;cursor:help}
.note{font-size:.86rem;color:var(--muted);max-width:95ch}
figure{margin:1.2rem 0}
figure svg{display:block;width:100%;height:auto;max-width:var(--w);margin:0 auto}
figcaption{font-size:.86rem;color:var(--muted);margin-top:.5rem;max-width:95ch}
.two{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,430px),1fr));gap:0 2rem}
.strip{display:grid;grid-template-columns:repeat(auto-fill,minmax(138px,1fr));gap:1rem;margin:1.2rem 0 .4rem}
.strip.wide{grid-template-columns:repeat(auto-fill,minmax(216px,1fr))}
.card{background:var(--wash);border-radius:10px;overflow:hidden;border-top:4px solid var(--c)}
.card img{display:block;width:100%;height:auto;aspect-ratio:1;object-fit:cover;background:var(--grid)}
.card div{padding:.5rem .7rem .7rem;font-size:.84rem;line-height:1.4}
.card div.pair{display:grid;grid-template-columns:1fr 1fr;gap:2px;padding:0}
.card .names{color:var(--muted);font-size:.92em;overflow-wrap:anywhere}
.card .who{font-weight:600;overflow-wrap:anywhere}
.card .verdict{color:var(--c);font-weight:600}
.scale{position:relative;height:16px;margin:.35rem 0 .15rem;padding:0!important}
.scale i{position:absolute;top:6px;left:0;right:0;height:4px;border-radius:2px;background:var(--grid)}
.scale u{position:absolute;top:0;width:2px;height:16px;margin-left:-1px;background:var(--ink)}
.scale em{position:absolute;top:3px;width:10px;height:10px;margin-left:-5px;border-radius:5px;
  background:var(--c);box-shadow:0 0 0 2px var(--wash)}
details{margin:.8rem 0}
summary{cursor:pointer;font-weight:600}
code{font:.88em ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;overflow-wrap:anywhere}
.files td{white-space:normal;text-align:left}
.files th{text-align:left}
@media (max-width:640px){figure svg{min-width:min(var(--w),440px)}main{padding:1.4rem .9rem 3rem}}
@media print{details{display:block}main{max-width:none}nav{display:none}}
"""
