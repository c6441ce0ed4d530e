# SPDX-License-Identifier: Apache-2.0
# From bench/run --scale: data (a block with a heading for each series: size, then
# microseconds of nr file systems), titles (of the series, between tabs), folder.
columns = 3
series = 1
do for [i=1:strlen(titles)] { if (titles[i:i] eq "\t") { series = series + 1 } }
rows = (series + columns - 1) / columns
set terminal pngcairo size 1500,330*rows font "sans,10" noenhanced
set datafile separator "\t"
set datafile missing "?"
set logscale x
set format x "%.0s%c"
set yrange [0:*]
set ylabel "microseconds"
set grid ytics
set key bottom left autotitle columnhead

set output folder."/growth.png"
set multiplot layout rows,columns
rest = titles."\t"
do for [i=0:series-1] {
	set title rest[1:strstrt(rest, "\t")-1]
	rest = rest[strstrt(rest, "\t")+1:strlen(rest)]
	plot for [column=2:nr+1] data index i using 1:column with linespoints lw 2
}
unset multiplot
