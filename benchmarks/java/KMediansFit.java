import de.lmu.ifi.dbs.elki.algorithm.clustering.kmeans.KMediansLloyd;
import de.lmu.ifi.dbs.elki.algorithm.clustering.kmeans.initialization.PredefinedInitialMeans;
import de.lmu.ifi.dbs.elki.data.Cluster;
import de.lmu.ifi.dbs.elki.data.DoubleVector;
import de.lmu.ifi.dbs.elki.data.model.MeanModel;
import de.lmu.ifi.dbs.elki.data.type.TypeUtil;
import de.lmu.ifi.dbs.elki.database.StaticArrayDatabase;
import de.lmu.ifi.dbs.elki.database.relation.Relation;
import de.lmu.ifi.dbs.elki.datasource.ArrayAdapterDatabaseConnection;
import de.lmu.ifi.dbs.elki.distance.distancefunction.minkowski.ManhattanDistanceFunction;
import java.io.BufferedInputStream;
import java.io.BufferedReader;
import java.io.DataInputStream;
import java.io.FileInputStream;
import java.io.InputStreamReader;

/** Answers every line "iterations" on its input with the seconds of a fit, then its centres. */
public class KMediansFit {
  /** Rows of big-endian float64, as Java reads them. */
  static double[][] read(String path, int n, int d) throws Exception {
    double[][] rows = new double[n][d];
    try (DataInputStream in =
        new DataInputStream(new BufferedInputStream(new FileInputStream(path), 1 << 20))) {
      for (double[] row : rows) {
        for (int q = 0; q < d; q++) {
          row[q] = in.readDouble();
        }
      }
    }
    return rows;
  }

  public static void main(String[] args) throws Exception {
    int n = Integer.parseInt(args[1]), d = Integer.parseInt(args[2]);
    int k = Integer.parseInt(args[4]);
    StaticArrayDatabase database = new StaticArrayDatabase(
        new ArrayAdapterDatabaseConnection(read(args[0], n, d)), null);
    database.initialize();
    Relation<DoubleVector> relation = database.getRelation(TypeUtil.DOUBLE_VECTOR_FIELD);
    double[][] init = read(args[3], k, d);
    BufferedReader commands = new BufferedReader(new InputStreamReader(System.in));
    for (String line = commands.readLine(); line != null; line = commands.readLine()) {
      KMediansLloyd<DoubleVector> loop = new KMediansLloyd<>(ManhattanDistanceFunction.STATIC, k,
          Integer.parseInt(line.trim()), new PredefinedInitialMeans(init));
      long start = System.nanoTime();
      var found = loop.run(database, relation);
      System.out.println((System.nanoTime() - start) / 1e9);
      for (Cluster<MeanModel> cluster : found.getAllClusters()) {
        StringBuilder row = new StringBuilder();
        for (double value : cluster.getModel().getMean().getArrayRef()) {
          row.append(value).append(' ');
        }
        System.out.println(row);
      }
      System.out.println("end");
    }
  }
}
