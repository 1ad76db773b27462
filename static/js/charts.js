// Draws every <figure class="chart" data-chart-source="ID" data-summary="..."> on load, after each swap and when the
// theme changes. The figure is the JSON in <script type="application/json" id="ID"> (Django's json_script):
//
//   {"data": [trace, ...], "layout": {...}}      plain Plotly, without colours, fonts, hover texts or a template
//   {..., "points": {...}}                       what all traces say of a point, so that it is sent once
//
//   points.x, points.states  label and completeness of each point, for traces that have no x
//   points.unit, points.exponent  the unit of a quantity, and the power of ten that heights are given in; and of two
//                                 where they are in a binary unit (points.binary)
//   points.wholes, points.of  where parts add up: the quantities they are shares of, and how to say so
//
//   trace.quantities       of each of `points`, every digit as a text, or null for no data: heights and words follow
//   trace.beside           a text for each point instead of share and completeness
//   trace.meta.series      1 to 8: a colour of the palette; "other": grey; "previous": the period compared with;
//                          "gap": markers where nothing was received; "zero": markers where zero was measured;
//                          "band": an edge of a band; the line with `fill: "tonexty"` is filled down to the one before;
//                          "correction": markers where a later revision changed the value
//                          "note": markers with a line over the whole height where members wrote something
//   trace.meta.links       of a waterfall: where each of its bars leads to; the words on the bars are trace.text
//   trace.meta.dash        how a line is drawn, so that two are told apart without their colours: "solid" or "dash"
//   trace.meta.incomplete  indices of the bars that are not complete yet: they are hatched
//   trace.customdata       instead of them, a row for each point: [exact value with unit, share or "", completeness or ""]
//   layout                 barmode ("stack" only when parts add up), titles, ranges, tick formats
//
// Names and customdata are plain text and are escaped here, since Plotly reads tags in them. The table below a chart
// is the same data for those who do not see the drawing; the drawing is one image with a summary.
"use strict";

(() => {
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);

  // Computed through an element, because a custom property that holds light-dark() reads back unresolved.
  function colour(name) {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  }

  function escaped(text) {
    return String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
  }

  function hoverText(row) {
    return row.filter(Boolean).map(escaped).join("<br>");
  }

  const MARKS = {
    gap: { colour: "--muted", symbol: "x-thin-open", size: 7 },
    zero: { colour: "--muted", symbol: "line-ew-open", size: 7 },
    correction: { colour: "--warn", symbol: "diamond-open", size: 9 },
    note: { colour: "--accent", symbol: "triangle-up", size: 9 },
  };

  function drawnBar(trace, series) {
    const fill = colour(series === "other" ? "--series-other" : `--series-${series}`);
    const incomplete = new Set(trace.meta?.incomplete || []);
    trace.marker = { color: fill, line: { width: 0 } };
    if (incomplete.size) {
      trace.marker.pattern = {
        shape: trace.x.map((_, index) => (incomplete.has(index) ? "/" : "")),
        fillmode: "replace", fgcolor: fill, bgcolor: colour("--surface"), size: 6, solidity: 0.45,
      };
    }
  }

  // Digits are grouped as text: a number of JavaScript has room for fifteen of them.
  function grouped(quantity) {
    const [, sign, whole, fraction] = /^(-?)([0-9]+)(?:\.([0-9]*?)0*)?$/.exec(quantity);
    const digits = whole.replace(/\B(?=([0-9]{3})+$)/g, ",") + (fraction ? `.${fraction}` : "");
    return sign && digits !== "0" ? `\u2212${digits}` : digits;
  }

  function shareOf(part, whole) {
    const share = (100 * part) / whole;
    const text = Math.abs(share).toFixed(1);
    if (share && text === "0.0") return `${share < 0 ? "\u2212" : ""}<0.1\u202f%`;
    return `${share < 0 ? "\u2212" : ""}${text}\u202f%`;
  }

  function wordsOf(trace, points) {
    return trace.quantities.map((quantity, index) => {
      const exact = quantity === null ? "No data" : `${grouped(quantity)}\u202f${points.unit}`;
      if (trace.beside) return [exact, trace.beside[index], ""];
      const whole = Number(points.wholes?.[index] ?? 0);
      const share = quantity !== null && whole ? shareOf(Number(quantity), whole) + points.of : "";
      return [exact, share, points.states[index]];
    });
  }

  function heightsOf(trace, points) {
    return trace.quantities.map((quantity) => (quantity === null ? null : Number(quantity) / 10 ** points.exponent / 2 ** (points.binary || 0)));
  }

  // From one amount to another: up and down differ by colour and by the sign that stands on each bar.
  function drawnWaterfall(trace) {
    const ink = { color: colour("--ink") };
    return Object.assign(trace, {
      increasing: { marker: { color: colour("--series-2") } },
      decreasing: { marker: { color: colour("--series-5") } },
      totals: { marker: { color: colour("--series-other") } },
      connector: { line: { color: colour("--line-strong"), width: 1 } },
      hovertext: trace.customdata.map(hoverText), hovertemplate: "%{y}<br>%{hovertext}<extra></extra>",
      textposition: "outside", cliponaxis: false, textfont: ink, y: trace.y.map(escaped), text: trace.text.map(escaped),
    });
  }

  function drawn(source, points) {
    if (source.type === "waterfall") return drawnWaterfall({ ...source });
    const { quantities, beside, ...trace } = { x: points.x, ...source };
    if (quantities) Object.assign(trace, { y: heightsOf(source, points), customdata: wordsOf(source, points) });
    const series = trace.meta?.series ?? 1;
    const name = escaped(trace.name || "");
    trace.name = name;
    // A name never stands in the template itself: Plotly would fill in what looks like %{y} in it.
    const height = trace.customdata ? "" : " %{y}";
    trace.hovertext = trace.x.map((_, index) => [name, hoverText(trace.customdata?.[index] || [])].filter(Boolean).join("<br>"));
    trace.hovertemplate = `%{x}<br>%{hovertext}${height}<extra></extra>`;
    if (series in MARKS) {
      const mark = MARKS[series];
      const ink = colour(mark.colour);
      Object.assign(trace, { mode: "markers", cliponaxis: false });
      trace.marker = { color: ink, symbol: mark.symbol, size: mark.size, line: { width: 1.5, color: ink } };
    } else if (series === "previous") {
      trace.line = { color: colour("--chart-previous"), width: 1.5, dash: "dot", shape: "hvh" };
      Object.assign(trace, { type: "scatter", mode: "lines" });
      if (trace.y.filter((height) => height !== null).length === 1) {
        // One point makes no line.
        Object.assign(trace, { mode: "markers", marker: { color: trace.line.color, symbol: "line-ew-open", size: 80, line: { width: 1.5, color: trace.line.color } } });
      }
    } else if (series === "band") {
      // The second of two such lines is filled down to the first.
      trace.line = { color: colour("--series-2"), width: 1, dash: "dot" };
      trace.fillcolor = colour("--chart-band");
    } else if (trace.type === "bar") {
      drawnBar(trace, series);
    } else {
      trace.line = { color: colour(series === "other" ? "--series-other" : `--series-${series}`), width: 2, dash: trace.meta?.dash ?? "solid" };
    }
    return trace;
  }

  // Three November reads "3 Nov" everywhere; a second line comes only where it changes.
  const DAYS_IN_WORDS = {
    hoverformat: "%-d %b %Y",
    tickformatstops: [
      { dtickrange: [null, 86399999], value: "%H:%M\n%-d %b" },
      { dtickrange: [86400000, 2419200000], value: "%-d %b" },
      { dtickrange: ["M1", "M12"], value: "%b\n%Y" },
    ],
  };

  function axis(given, defaults) {
    return {
      automargin: true, fixedrange: true, gridcolor: colour("--chart-grid"), linecolor: colour("--line-strong"),
      zeroline: false, tickfont: { color: colour("--muted") }, ...defaults, ...given,
    };
  }

  // The unit stands level above the axis: turned text is slow to read.
  function unitNote(axisGiven) {
    const text = axisGiven?.title?.text ?? axisGiven?.title;
    if (!text) return [];
    return [{
      text: escaped(text), showarrow: false, xref: "paper", x: 0, xanchor: "left", yref: "paper", y: 1, yanchor: "bottom",
      yshift: 8, font: { color: colour("--muted") },
    }];
  }

  // Bars that lie down have their words on the left, the first one on top, and the amounts below.
  function lyingDown(data, given) {
    if (data[0]?.orientation !== "h") return given;
    const amounts = { showgrid: true, ticks: "", rangemode: "tozero", nticks: 5 };
    // The words on the longest bar stand beside it.
    return { margin: { l: 4, r: 72, t: 28, b: 4 }, ...given, xaxis: { ...amounts, ...given.xaxis }, yaxis: { autorange: "reversed", nticks: 0, ...given.yaxis } };
  }

  function layoutOf(given, font) {
    const days = given.xaxis?.type === "date" && !given.xaxis.tickformat ? DAYS_IN_WORDS : {};
    return {
      margin: { l: 4, r: 4, t: 28, b: 4 }, showlegend: false, bargap: 0.22, hovermode: "closest", dragmode: false,
      paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)",
      font: { family: font, size: 12, color: colour("--ink") },
      hoverlabel: {
        bgcolor: colour("--raised"), bordercolor: colour("--line-strong"), align: "left",
        font: { family: font, size: 12, color: colour("--ink") },
      },
      separators: ".,", ...given,
      annotations: unitNote(given.yaxis),
      xaxis: axis(given.xaxis, {
        showgrid: false, ticks: "outside", ticklen: 4, tickcolor: colour("--line-strong"), ...days,
      }),
      yaxis: { ...axis(given.yaxis, { rangemode: "tozero", nticks: 6, showline: false }), title: undefined },
    };
  }

  function noteLines(data) {
    const line = { color: colour("--accent"), width: 1, dash: "dot" };
    const places = data.filter((trace) => trace.meta?.series === "note").flatMap((trace) => trace.x);
    return places.map((x) => ({ type: "line", xref: "x", x0: x, x1: x, yref: "paper", y0: 0, y1: 1, layer: "below", line }));
  }

  function draw(figure) {
    const source = document.getElementById(figure.dataset.chartSource);
    const canvas = figure.querySelector(".chart-canvas");
    if (!source || !canvas || !window.Plotly) return;
    const { data = [], layout = {}, points = {} } = JSON.parse(source.textContent);
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", figure.dataset.summary || "");
    const font = getComputedStyle(document.body).fontFamily;
    Plotly.react(canvas, data.map((trace) => drawn(trace, points)), { shapes: noteLines(data), ...layoutOf(lyingDown(data, layout), font) }, { displayModeBar: false, responsive: true });
    follow(canvas, data[0]?.meta?.links);
  }

  function follow(canvas, links) {
    canvas.removeAllListeners?.("plotly_click");
    if (links) canvas.on("plotly_click", ({ points: [point] }) => location.assign(links[point.pointNumber]));
  }

  function drawAll(part) {
    for (const figure of part.querySelectorAll("figure.chart[data-chart-source]")) draw(figure);
  }

  function drop(part) {
    for (const canvas of part.querySelectorAll?.(".chart-canvas.js-plotly-plot") || []) Plotly.purge(canvas);
  }

  document.addEventListener("htmx:beforeCleanupElement", (event) => drop(event.target));
  document.addEventListener("htmx:afterSettle", () => drawAll(document));
  document.addEventListener("portal:theme", () => drawAll(document));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll(document));
  // Paper is white: a page printed from the dark theme gets the light drawing, and the dark one back afterwards.
  matchMedia("print").addEventListener("change", () => drawAll(document));
  drawAll(document);
})();
