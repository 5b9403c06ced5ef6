"""How the page looks, and how it draws its figures."""

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, "Segoe UI", Roboto, Helvetica, Arial, sans-serif;
  color: #222; background: #fff; max-width: 1100px; margin: 0 auto; padding: 24px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 4px; overflow-wrap: anywhere; }
h2 { font-size: 20px; margin: 40px 0 8px; padding-top: 12px; border-top: 1px solid #ddd; }
p, li { max-width: 80ch; overflow-wrap: anywhere; }
.under { color: #555; margin: 0 0 20px; }
.short { background: #f2f6fb; border-left: 4px solid #0072b2; padding: 8px 16px; }
.table { overflow-x: auto; margin: 12px 0; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 12px; text-align: right; vertical-align: top; white-space: nowrap;
  border-bottom: 1px solid #e6e6e6; }
th { border-bottom: 2px solid #999; }
.left { text-align: left; }
td.left:last-child { white-space: normal; min-width: 16em; overflow-wrap: anywhere; }
figure { margin: 24px 0 32px; break-inside: avoid; }
figure .plot { height: 480px; }
figcaption { max-width: 80ch; }
@media print { body { max-width: none; } }
"""

# Figures follow the width of the window.
DRAW = """
for (const place of document.querySelectorAll(".plot")) {
  const figure = JSON.parse(document.getElementById(place.id + "-data").textContent);
  const config = { responsive: true, displaylogo: false };
  // Where there is little room, the toolbar would cover the title.
  if (place.clientWidth < 600) config.displayModeBar = false;
  Plotly.newPlot(place, figure.data, figure.layout, config);
}
"""
