#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# An hsmd that ends because nobody needs it, at the moment when somebody does: another takes
# its place as soon as it is gone.
. "$WORK/tests/lib/common.sh"

# Stands in for one that has just decided to end: it takes the connection with it, and is
# gone a little later.
perl -MSocket -MFcntl=:flock -e '
	my ($dir, $listening) = @ARGV;
	open(my $lock, ">", "$dir/hsmd.lock") or die;
	flock($lock, LOCK_EX) or die;
	socket(my $socket, AF_UNIX, SOCK_SEQPACKET, 0) or die;
	bind($socket, sockaddr_un("$dir/hsmd.sock")) or die;
	listen($socket, 5) or die;
	open(my $mark, ">", $listening);
	close($mark);
	accept(my $client, $socket) or die;
	unlink("$dir/hsmd.sock");
	close($client);
	close($socket);
	select(undef, undef, undef, 0.5);
' "$HSMFS_RUNTIME_DIR" "$T/listening" &
old=$!
until [ -e listening ]; do
	kill -0 $old || die "the stand-in does not listen"
	sleep 0.02
done
format_volume
wait $old
hsmsetup isLuks "$ENC"
open_volume
close_volume
