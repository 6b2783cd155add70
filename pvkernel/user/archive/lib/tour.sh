# A walk through the shell: sh /boot/lib/tour.sh
mkdir -p /tmp/tour && cd /tmp/tour || exit 1
for name in one two three; do
    echo "this is $name" > $name
done
echo "files:"
ls -l
echo "two of them end with an e:"
cat one two three | grep -c 'e$'
echo $(ls t* | wc -l) "files begin with a t:" t*
sort -r <<END | head -n 1
of the lines of this text
the last one in order is
this one: $((6 * 7))
END
shorter() {
    case $1 in
    ???) echo "$1 has three letters" ;;
    *) return 1 ;;
    esac
}
for name in *; do shorter $name; done
sleep 0.1 & wait $!
if test -f three; then
    cat one two three | grep -v two | wc -l
else
    echo "three is missing"
fi
false || echo "false fails, as it should: $?"
cd /
rm -r /tmp/tour
