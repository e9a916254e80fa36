//! The disturbances, each told as it happens.

use std::time::{Duration, Instant};

use super::super::lab::{Lab, Leader};
use super::super::lines::Test;
use super::super::voice::Voice;
use super::super::writing::{Fate, put};
use super::hands::Hands;
use super::load::Load;

/// A member that was killed or wiped is back within this (a lost disk of a million keys heals within two minutes).
const RETURN_MAX: Duration = Duration::from_secs(120);
/// A write through a member that is cut off is waited for as long as this.
const STRANDED_MAX: Duration = Duration::from_secs(2);
/// Members that scaling adds and takes away.
const SCALE_BY: usize = 2;

/// Tells one disturbance.
pub async fn tell(test: Test, lab: &mut Lab, voice: &mut Voice, hands: &Hands) -> Result<(), String> {
    let before = lab.leader().await?;
    // Whose disk is full may refuse writes with a good reason.
    let follower = lab.others(&[before.seat])[0];
    let load = Load::start(lab, test.key(), (test == Test::FullDisk).then_some(follower));
    let began = Instant::now();
    let told = match test {
        Test::LeaderKilled => leader_killed(lab, voice, hands, before).await,
        Test::Partition => partition(lab, voice, before).await,
        Test::LostDisk => lost_disk(lab, voice, hands, follower).await,
        Test::Scale => scale(lab, voice, hands).await,
        Test::FullDisk => full_disk(lab, voice, hands, before, follower).await,
        _ => unreachable!("the other tests are told elsewhere"),
    };
    if told.is_ok() {
        lab.leader_within(RETURN_MAX).await?;
    }
    let judged = load.judge(lab, began).await;
    told?;
    let result = judged?;
    let silence = result.silence.map_or(0, |silence| silence.as_millis());
    voice.tells_pair(
        format!(
            "Escrituras confirmadas: {}; perdidas: 0; de resultado desconocido: {}; tiempo máximo sin confirmar: {silence} ms",
            result.acknowledged, result.unknown
        ),
        format!(
            "Acknowledged writes: {}; lost: 0; of unknown outcome: {}; longest time without one: {silence} ms",
            result.acknowledged, result.unknown
        ),
    )
}

/// The leader dies while clients write: another leads, and it comes back as a follower with everything.
async fn leader_killed(lab: &mut Lab, voice: &mut Voice, hands: &Hands, old: Leader) -> Result<(), String> {
    let name = lab.seats[old.seat].name.clone();
    voice.tells_pair(
        format!(
            "Matamos al líder, {name} (mandato {}), mientras cuatro clientes escriben",
            old.term
        ),
        format!(
            "We kill the leader, {name} (term {}), while four clients write",
            old.term
        ),
    )?;
    let killed = Instant::now();
    hands.kill(lab, old.seat).await?;
    let new = lab.leader_without(old).await?;
    let (next, after_ms) = (&lab.seats[new.seat].name, killed.elapsed().as_millis());
    voice.tells_pair(
        format!("Lidera {next} en el mandato {}, {after_ms} ms después", new.term),
        format!("{next} leads in term {}, {after_ms} ms later", new.term),
    )?;
    hands.start(lab, old.seat).await?;
    let back = lab.leader_within(RETURN_MAX).await;
    back.map_err(|reason| {
        format!("{name} did not come back; where no supervisor starts it, give --start-command: {reason}")
    })?;
    voice.tells_pair(
        format!("{name} ha vuelto y sigue al líder"),
        format!("{name} is back and follows"),
    )
}

/// The leader alone on one side, the majority on the other: nothing is acknowledged on the wrong side.
async fn partition(lab: &mut Lab, voice: &mut Voice, old: Leader) -> Result<(), String> {
    let name = lab.seats[old.seat].name.clone();
    voice.tells_pair(
        format!("Partimos la red: {name}, que lidera, queda a un lado; los demás, al otro"),
        format!("We part the network: {name}, which leads, is on one side, the others on the other"),
    )?;
    let connection = lab.connect(old.seat).await?;
    lab.cut(&[old.seat]).await?;
    let key = lab.key("stranded");
    match put(connection, key, STRANDED_MAX).await {
        Fate::Written(_) => return Err(format!("{name} acknowledged a write without a majority")),
        Fate::Unknown(_) | Fate::Refused(_) => voice.tells_pair(
            format!("{name} no confirma la escritura que recibe: no tiene mayoría"),
            format!("{name} does not acknowledge the write it is given: it has no majority"),
        )?,
    }
    let new = lab.leader_without(old).await?;
    let next = &lab.seats[new.seat].name;
    voice.tells_pair(
        format!(
            "La mayoría elige a {next} en el mandato {} y sigue escribiendo",
            new.term
        ),
        format!(
            "The majority elects {next} in term {} and goes on writing",
            new.term
        ),
    )?;
    lab.heal(&[old.seat]).await?;
    voice.tells_pair(
        format!("Unimos la red: {name} vuelve como seguidor"),
        format!("We join the network again: {name} comes back as a follower"),
    )
}

/// A follower loses its disk: it comes back empty and gets everything from the others.
async fn lost_disk(lab: &mut Lab, voice: &mut Voice, hands: &Hands, seat: usize) -> Result<(), String> {
    let name = lab.seats[seat].name.clone();
    voice.tells_pair(
        format!("{name} pierde su disco: vuelve sin datos"),
        format!("{name} loses its disk: it comes back without data"),
    )?;
    let wiped = Instant::now();
    hands.wipe(lab, seat).await?;
    // It may have another id now: it is a new member in the old one's seat.
    lab.find_seats_again(lab.seats.len(), RETURN_MAX).await?;
    let after_ms = wiped.elapsed().as_millis();
    voice.tells_pair(
        format!("{name} vota y responde otra vez, {after_ms} ms después, sin que nadie hiciera nada"),
        format!("{name} votes and answers again, {after_ms} ms later, without anybody's help"),
    )
}

/// The cluster grows and shrinks while clients write.
async fn scale(lab: &mut Lab, voice: &mut Voice, hands: &Hands) -> Result<(), String> {
    let size = lab.seats.len();
    let grown = size + SCALE_BY;
    for wanted in [grown, size] {
        voice.tells_pair(
            format!("Pedimos {wanted} miembros"),
            format!("We ask for {wanted} members"),
        )?;
        let asked = Instant::now();
        if wanted == grown {
            hands.grow(lab, grown).await?;
        } else {
            hands.shrink(lab, size).await?;
        }
        lab.find_seats_again(wanted, RETURN_MAX).await?;
        let after_ms = asked.elapsed().as_millis();
        voice.tells_pair(
            format!("Hay {wanted} miembros con voto, {after_ms} ms después"),
            format!("There are {wanted} voters, {after_ms} ms later"),
        )?;
    }
    // Whoever has left is stopped, as Kubernetes does.
    match lab.own() {
        Some(own) => own.stop_surplus().await,
        None => Ok(()),
    }
}

/// A follower's disk is full: the others go on, and with room it catches up.
async fn full_disk(
    lab: &mut Lab,
    voice: &mut Voice,
    hands: &Hands,
    leader: Leader,
    seat: usize,
) -> Result<(), String> {
    let name = lab.seats[seat].name.clone();
    if hands.give_small_disk(lab, seat)? {
        voice.tells_pair(
            format!("{name} recibe un disco pequeño y vacío"),
            format!("{name} gets a small empty disk"),
        )?;
        lab.find_seats_again(lab.seats.len(), RETURN_MAX).await?;
    }
    voice.tells_pair(
        format!("Llenamos el disco de {name}"),
        format!("We fill the disk of {name}"),
    )?;
    hands.fill(lab, seat).await?;
    let written = lab.write_three(leader.seat, "full").await;
    // Given back whatever came of it.
    hands.free(lab, seat).await?;
    let written = written?;
    voice.tells_pair(
        "Las escrituras siguen en los demás; devolvemos el espacio".to_owned(),
        "Writes go on at the others; we give the room back".to_owned(),
    )?;
    lab.holds(seat, &written).await?;
    voice.tells_pair(
        format!("{name} se ha puesto al día"),
        format!("{name} has caught up"),
    )
}
