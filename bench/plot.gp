# SPDX-License-Identifier: Apache-2.0
# From bench/run: data (a table with a heading), folder (for the pictures), nr (of file
# systems: so many columns of speeds, then as many of CPU seconds).
set terminal pngcairo size 1500,700 font "sans,11" noenhanced
set datafile separator "\t"
set datafile missing "?"
set style data histogram
set style histogram clustered gap 1.5
set style fill solid 0.9 border rgb "white"
set boxwidth 0.95
set xtics rotate by -35 scale 0
set grid ytics
set key top left horizontal autotitle columnhead
set yrange [0:*]

set output folder."/speed.png"
set title "Speed as a multiple of an unencrypted FUSE passthrough's (more is better)"
set arrow 1 from graph 0, first 1 to graph 1, first 1 nohead lw 2 dt 2 lc rgb "black"
plot for [i=2:nr+1] data using i:xtic(1)

set output folder."/cpu.png"
set title "CPU seconds of all daemons for the same work (less is better)"
unset arrow 1
plot for [i=nr+2:2*nr+1] data using i:xtic(1)
